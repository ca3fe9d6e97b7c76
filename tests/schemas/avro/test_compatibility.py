"""The checker of schema versions finds what would break a reader, and only that."""

import io
import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import fastavro
import pytest
from fastavro.read import SchemaResolutionError

from modelcast.schemas.avro.compatibility import incompatibilities
from modelcast.schemas.avro.schema_guard import parse_schema
from tests.schemas.avro.foreign_schemas import field, todays


def _found(reader: Any, writer: Any) -> list[str]:
    return incompatibilities(parse_schema(json.dumps(reader)), parse_schema(json.dumps(writer)))


def _changed(change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    schema = todays("ModelUpdate")
    change(schema)
    return schema


def _add(schema: dict[str, Any], **extra: Any) -> None:
    schema["fields"].append({"name": "added", "type": "long", **extra})


def _drop(schema: dict[str, Any], name: str) -> None:
    schema["fields"] = [f for f in schema["fields"] if f["name"] != name]


def _enum(schema: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = field(schema, "activation")["type"]
    return found


FULLY_COMPATIBLE: dict[str, Callable[[dict[str, Any]], None]] = {
    "nothing": lambda s: None,
    "a field added with a default": lambda s: _add(s, default=0),
    "a field with a default dropped": lambda s: _drop(s, "labels"),
    "an enum symbol added": lambda s: _enum(s)["symbols"].append("LATER"),
    "fields in another order": lambda s: s["fields"].reverse(),
    "another doc": lambda s: s.update(doc="Other words."),
}

BACKWARD_ONLY: dict[str, Callable[[dict[str, Any]], None]] = {
    "a field without a default dropped": lambda s: _drop(s, "model"),
    "a number widened": lambda s: field(s, "version").update(type="double"),
    "a field made optional": lambda s: field(s, "publisher").update(type=["string", "null"]),
}

FORWARD_ONLY: dict[str, Callable[[dict[str, Any]], None]] = {
    "a field added without a default": lambda s: _add(s),
    "a number narrowed": lambda s: field(s, "version").update(type="int"),
    "an enum symbol dropped and its default dropped": lambda s: (
        _enum(s).update(symbols=["STAGED"]),
        _enum(s).pop("default"),
    )[0],
}

BROKEN: dict[str, Callable[[dict[str, Any]], None]] = {
    "another type": lambda s: field(s, "version").update(type="string"),
    "a field renamed": lambda s: field(s, "model").update(name="renamed"),
    "an array made a map": lambda s: field(s, "placement").update(type={"type": "map", "values": "string"}),
    "another item type": lambda s: field(s, "placement")["type"].update(items="long"),
    "another value type": lambda s: field(s, "labels")["type"].update(values="double"),
    "another record": lambda s: s.update(name="ModelOther"),
    "another enum": lambda s: _enum(s).update(name="Other"),
    "an enum made a fixed": lambda s: field(s, "activation").update(type={"type": "fixed", "name": "F", "size": 1}),
}


@pytest.mark.parametrize("change", FULLY_COMPATIBLE.values(), ids=FULLY_COMPATIBLE.keys())
def test_a_change_that_old_and_new_both_understand_is_passed(change: Callable[[dict[str, Any]], None]) -> None:
    old, new = todays("ModelUpdate"), _changed(change)
    assert _found(new, old) == []
    assert _found(old, new) == []


@pytest.mark.parametrize("change", BACKWARD_ONLY.values(), ids=BACKWARD_ONLY.keys())
def test_a_change_that_old_readers_do_not_understand_is_found(change: Callable[[dict[str, Any]], None]) -> None:
    old, new = todays("ModelUpdate"), _changed(change)
    assert _found(new, old) == []
    assert _found(old, new)


@pytest.mark.parametrize("change", FORWARD_ONLY.values(), ids=FORWARD_ONLY.keys())
def test_a_change_that_new_readers_do_not_understand_is_found(change: Callable[[dict[str, Any]], None]) -> None:
    old, new = todays("ModelUpdate"), _changed(change)
    assert _found(old, new) == []
    assert _found(new, old)


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN.keys())
def test_a_change_that_neither_understands_is_found_both_ways(change: Callable[[dict[str, Any]], None]) -> None:
    old, new = todays("ModelUpdate"), _changed(change)
    assert _found(new, old)
    assert _found(old, new)


def test_a_symbol_added_to_an_enum_without_a_default_is_found() -> None:
    old = _changed(lambda s: _enum(s).pop("default"))
    new = deepcopy(old)
    _enum(new)["symbols"].append("LATER")
    assert _found(new, old) == []
    assert _found(old, new) == [".activation: the reader knows no symbol LATER and has no default"]


def test_what_is_found_names_the_place() -> None:
    new = _changed(lambda s: field(s, "placement")["type"].update(items="long"))
    assert _found(new, todays("ModelUpdate")) == [".placement[]: string is written, long is read"]


def test_a_field_is_found_under_its_alias() -> None:
    def rename(schema: dict[str, Any]) -> None:
        field(schema, "model").update(name="renamed", aliases=["model"])

    assert _found(_changed(rename), todays("ModelUpdate")) == []


SCALARS = ["int", "long", "float", "double", "string", "bytes", "boolean", ["null", "long"], ["null", "string"]]
VALUES = {"int": 1, "long": 1, "float": 0.5, "double": 0.5, "string": "x", "bytes": b"x", "boolean": True}


@pytest.mark.parametrize("writer", SCALARS, ids=str)
@pytest.mark.parametrize("reader", SCALARS, ids=str)
def test_the_checker_agrees_with_another_implementation(reader: Any, writer: Any) -> None:
    """Whatever fastavro resolves is passed and the rest is found, for every pair of simple types."""
    readable = True
    for value in [None, VALUES[writer[1]]] if isinstance(writer, list) else [VALUES[writer]]:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, fastavro.parse_schema(writer), value)
        try:
            fastavro.schemaless_reader(io.BytesIO(out.getvalue()), writer, reader)
        except (SchemaResolutionError, ValueError):
            readable = False
    assert (_found(reader, writer) == []) == readable
