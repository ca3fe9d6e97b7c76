"""Schemas from the network: those that could hurt a decoder are refused before any decoder sees them."""

import json
from typing import Any

import pytest

from modelcast.schemas.avro.schema_guard import DEPTH_MAX, MEMBERS_MAX, SCHEMA_SIZE_MAX, parse_schema
from modelcast.schemas.avro.schema_nodes import Array, Enumeration, Primitive, Struct, Union, canonical, fingerprint
from modelcast.schemas.errors import ContentError, DecodeError


def _record(*types: Any, name: str = "R") -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": [{"name": f"f{i}", "type": t} for i, t in enumerate(types)]}


def _nested(depth: int) -> Any:
    schema: Any = "long"
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


def _doubling(levels: int) -> dict[str, Any]:
    """Each record holds the one below twice: short to write, 2**levels long to read."""
    above = [_record(f"L{level - 1}", f"L{level - 1}", name=f"L{level}") for level in range(1, levels)]
    return _record(_record("long", name="L0"), *above, name="Top")


REFUSED: dict[str, Any] = {
    "record that holds itself": _record("R"),
    "record that may hold itself": _record(["null", "R"]),
    "record that holds itself in an array": _record({"type": "array", "items": "R"}),
    "record that holds itself in a map": _record({"type": "map", "values": "R"}),
    "record that holds itself through another": _record(_record("R", name="Inner")),
    "record that holds itself by its full name": {"namespace": "a.b", **_record("a.b.R")},
    "array of null": {"type": "array", "items": "null"},
    "map of null": {"type": "map", "values": "null"},
    "array of wrapped null": {"type": "array", "items": {"type": "null"}},
    "array of twice wrapped null": {"type": "array", "items": {"type": {"type": "null"}}},
    "array of empty records": {"type": "array", "items": {"type": "record", "name": "E", "fields": []}},
    "array of records of null": {"type": "array", "items": _record("null")},
    "array of records of empty records": {"type": "array", "items": _record(_record("null", name="E"))},
    "array of fixed 0": {"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}},
    "null field": _record("long", "null"),
    "null": "null",
    "empty record": {"type": "record", "name": "E", "fields": []},
    "huge fixed": {"type": "fixed", "name": "F", "size": 2**40},
    "negative fixed": {"type": "fixed", "name": "F", "size": -1},
    "fixed true": {"type": "fixed", "name": "F", "size": True},
    "deep nesting": _nested(DEPTH_MAX + 1),
    "deep nesting by reference": _record(
        _record(_nested(DEPTH_MAX - 3), name="A"), _nested(2), {"type": "map", "values": {"type": "map", "values": "A"}}
    ),
    "doubling records": _doubling(14),
    "too many fields": _record(*["long"] * (MEMBERS_MAX + 1)),
    "too many symbols": {"type": "enum", "name": "E", "symbols": [f"s{i}" for i in range(MEMBERS_MAX + 1)]},
    "no symbols": {"type": "enum", "name": "E", "symbols": []},
    "symbol twice": {"type": "enum", "name": "E", "symbols": ["A", "A"]},
    "one symbol that is no name": {"type": "enum", "name": "E", "symbols": ["A", 'B"}', "C"]},
    "one symbol that is a number": {"type": "enum", "name": "E", "symbols": ["A", 7]},
    "one alias that is no name": {
        "type": "record",
        "name": "R",
        "fields": [{"name": "a", "type": "long", "aliases": ["b", "c d"]}],
    },
    "union of too many types": [{"type": "fixed", "name": f"F{i}", "size": 1} for i in range(MEMBERS_MAX + 1)],
    "symbol that is no name": {"type": "enum", "name": "E", "symbols": ['A"}']},
    "default that is no symbol": {"type": "enum", "name": "E", "symbols": ["A"], "default": "B"},
    "empty union": [],
    "union in a union": ["long", ["string"]],
    "union with a type twice": ["long", "long"],
    "union with two arrays": [{"type": "array", "items": "long"}, {"type": "array", "items": "string"}],
    "type defined twice": _record(_record("long", name="A"), _record("long", name="A")),
    "type that redefines its holder": _record(_record("long", name="R")),
    "field twice": {"type": "record", "name": "R", "fields": [{"name": "a", "type": "long"}] * 2},
    "field without a type": {"type": "record", "name": "R", "fields": [{"name": "a"}]},
    "field without a name": {"type": "record", "name": "R", "fields": [{"type": "long"}]},
    "field that is a string": {"type": "record", "name": "R", "fields": ["a"]},
    "aliases that are a string": {
        "type": "record",
        "name": "R",
        "fields": [{"name": "a", "type": "long", "aliases": "b"}],
    },
    "fields that are an object": {"type": "record", "name": "R", "fields": {"a": "long"}},
    "nameless record": {"type": "record", "fields": [{"name": "a", "type": "long"}]},
    "name that is no name": _record("long", name="R-1"),
    "name of a primitive": _record("long", name="string"),
    "name of a primitive in a namespace": _record("long", name="modelcast.record"),
    "name with a quote": _record("long", name='R","x":"'),
    "name with an empty part": _record("long", name="a..b"),
    "namespace that is a number": {"namespace": 1, **_record("long")},
    "unknown type": "whatever",
    "type used before it is defined": _record("Later", _record("long", name="Later")),
    "error": {"type": "error", "name": "R", "fields": [{"name": "a", "type": "long"}]},
    "number": 7,
    "nothing": None,
    "object without a type": {},
    "array without items": {"type": "array"},
}


@pytest.mark.parametrize("schema", REFUSED.values(), ids=REFUSED.keys())
def test_a_schema_that_could_hurt_is_refused(schema: Any) -> None:
    with pytest.raises(DecodeError) as refused:
        parse_schema(json.dumps(schema))
    assert refused.value.reason == "bad-schema"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[" * 60_000,
        '{"a":' * 10_000,
        '"long"' + " " * SCHEMA_SIZE_MAX,
        '{"type":"fixed","name":"F","size":1,"size":2}',
        '{"type":"long","x":NaN}',
        '{"type":"long","x":-Infinity}',
        '{"type":"fixed","name":"F","size":' + "9" * 5000 + "}",
        b"\xff\xfe",
        b'"\xed\xa0\x80"',
        '"\\ud800"',
    ],
    ids=range(12),
)
def test_text_that_is_no_honest_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(DecodeError) as refused:
        parse_schema(text)
    assert refused.value.reason == "bad-schema"


@pytest.mark.parametrize(
    "schema",
    [
        _nested(DEPTH_MAX),
        _doubling(8),
        _record(*["long"] * MEMBERS_MAX),
        _record(["null", "string"]),
        {"type": "array", "items": ["null", "long"]},
        {"type": "array", "items": {"type": "fixed", "name": "F", "size": 1}},
        ["long"],
        [{"type": "fixed", "name": f"F{i}", "size": 1} for i in range(MEMBERS_MAX)],
        {"type": {"type": "array", "items": {"type": "long"}}},
    ],
    ids=[
        "deep",
        "doubling",
        "wide",
        "optional",
        "array of optional",
        "array of fixed",
        "union of one",
        "wide union",
        "wrapped",
    ],
)
def test_an_honest_schema_of_the_largest_kind_is_taken(schema: Any) -> None:
    node = parse_schema(json.dumps(schema))
    assert parse_schema(canonical(node)) == node


def test_the_longest_text_is_taken_and_one_more_byte_is_not() -> None:
    text = '"long"' + " " * (SCHEMA_SIZE_MAX - 6)
    assert parse_schema(text) == Primitive("long")
    with pytest.raises(DecodeError):
        parse_schema(text + " ")


def test_nesting_by_reference_counts_as_if_it_were_written_out() -> None:
    """A record of arrays, used again below more arrays: exactly the limit is taken, one more is not."""
    depth_inside = 1 + 5  # the field of A and its arrays
    inside = _record(_nested(5), name="A")
    for around, taken in ((DEPTH_MAX - depth_inside - 1, True), (DEPTH_MAX - depth_inside, False)):
        again: Any = "A"
        for _ in range(around):
            again = {"type": "array", "items": again}
        text = json.dumps(_record(inside, again))
        if taken:
            parse_schema(text)
        else:
            with pytest.raises(DecodeError, match="nested deeper"):
                parse_schema(text)


def test_a_type_that_is_used_again_is_the_same_object() -> None:
    node = parse_schema(json.dumps(_record(_record("long", name="A"), "A", ["null", "A"])))
    assert isinstance(node, Struct)
    first, second, third = (f.type for f in node.fields)
    assert first is second
    assert isinstance(third, Union)
    assert third.branches[1] is first


def test_names_take_the_namespace_of_what_holds_them() -> None:
    inner = {"type": "enum", "name": "E", "symbols": ["A", "B"], "default": "B"}
    node = parse_schema(json.dumps({"namespace": "x.y", **_record({"type": "array", "items": inner}, "E", "x.y.E")}))
    assert node == Struct(
        "x.y.R",
        tuple(
            type(f)(f.name, kind)
            for f, kind in zip(
                node.fields,  # type: ignore[union-attr]
                [Array(Enumeration("x.y.E", ("A", "B"), "B")), *[Enumeration("x.y.E", ("A", "B"), "B")] * 2],
                strict=True,
            )
        ),
    )


def test_a_fingerprint_needs_text_that_can_be_written() -> None:
    with pytest.raises(ContentError):
        fingerprint('"\ud800"')


def test_logical_types_docs_and_unknown_attributes_mean_nothing() -> None:
    assert parse_schema('{"type":"long","logicalType":"timestamp-micros","doc":"x","precision":-1}') == Primitive(
        "long"
    )
