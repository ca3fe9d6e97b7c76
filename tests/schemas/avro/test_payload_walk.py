"""The walk takes what another implementation writes, of any type, and nothing that claims more than it holds."""

import io
import json
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelcast.schemas.avro.payload_walk import ITEMS_MAX, walk, walk_of
from modelcast.schemas.avro.schema_guard import parse_schema
from modelcast.schemas.errors import DecodeError

longs = st.integers(-(2**63), 2**63 - 1)
simple = st.sampled_from(
    [
        ("boolean", st.booleans()),
        ("long", longs),
        ("double", st.floats(allow_nan=False)),
        ("string", st.text(max_size=80)),
        ("bytes", st.binary(max_size=80)),
        ({"type": "fixed", "name": "F", "size": 3}, st.binary(min_size=3, max_size=3)),
        ({"type": "enum", "name": "E", "symbols": ["A", "B", "C"]}, st.sampled_from("ABC")),
        (["null", "long", "string"], st.none() | longs | st.text(max_size=5)),
    ]
)


def _wrapped(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return inner.flatmap(
        lambda pair: st.sampled_from(
            [
                ({"type": "array", "items": pair[0]}, st.lists(pair[1], max_size=5)),
                ({"type": "map", "values": pair[0]}, st.dictionaries(st.text(max_size=5), pair[1], max_size=5)),
            ]
        )
    )


typed_values = st.recursive(simple, _wrapped, max_leaves=3).flatmap(lambda pair: st.tuples(st.just(pair[0]), pair[1]))


def _walked(schema: Any, data: bytes, start: int = 0) -> None:
    walk(walk_of(parse_schema(json.dumps(schema))), data, start)


@given(typed_values)
@settings(max_examples=300, deadline=None)
def test_what_another_implementation_writes_is_walked_to_its_last_byte(typed: tuple[Any, Any]) -> None:
    schema, value = typed
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    data = out.getvalue()
    _walked(schema, b"head" + data, start=4)
    for wrong in (data[:-1], data + b"\0"):
        with pytest.raises(DecodeError) as refused:
            _walked(schema, wrong)
        assert refused.value.reason == "malformed"


@given(typed_values, st.data())
@settings(max_examples=500, deadline=None)
def test_what_the_walk_takes_another_implementation_reads_whole(typed: tuple[Any, Any], data: st.DataObject) -> None:
    schema, value = typed
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    damaged = bytearray(out.getvalue())
    at = data.draw(st.integers(0, len(damaged) - 1))
    damaged[at] = data.draw(st.integers(0, 255))
    try:
        _walked(schema, bytes(damaged))
    except DecodeError:
        return
    stream = io.BytesIO(bytes(damaged))
    try:
        fastavro.schemaless_reader(stream, schema, None)
    except UnicodeDecodeError:
        return  # the walk reads no text
    assert not stream.read()


LONGS = {"type": "array", "items": "long"}


def test_a_block_may_say_its_size() -> None:
    _walked(LONGS, b"\x03\x04\x02\x02\x00")  # minus two items, two bytes


@pytest.mark.parametrize(
    ("schema", "data"),
    [
        (LONGS, b"\x03\x06\x02\x02\x00"),  # a block of another size than it says
        (LONGS, b"\x03\x01\x02\x02\x00"),  # ... a negative one
        (LONGS, b"\x0c\x02\x02\x00"),  # more items than bytes
        (LONGS, b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00"),  # 2^63 - 1 items
        (LONGS, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00\x00"),  # -2^63 items
        ("long", b"\xff" * 10 + b"\x01"),  # eleven bytes
        ("long", b"\xff" * 9 + b"\x02"),  # 65 bits
        ("string", b"\x01"),  # a negative length, short
        ("string", b"\xff\x01"),  # ... long
        ("string", b"\x04a"),
        ("string", b"\x80\x02" + b"a" * 127),
        ("boolean", b"\x02"),
        (["null", "long"], b"\x04"),
        (["null", "long"], b"\x01"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, b"\x02"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, b"\x01"),
        ({"type": "fixed", "name": "F", "size": 3}, b"ab"),
        ("double", b"1234567"),
        ("float", b"123"),
    ],
)
def test_a_value_that_lies_is_malformed(schema: Any, data: bytes) -> None:
    with pytest.raises(DecodeError) as refused:
        _walked(schema, data)
    assert refused.value.reason == "malformed"


def test_the_numbers_at_the_ends_are_walked() -> None:
    for number in (2**63 - 1, -(2**63)):
        out = io.BytesIO()
        fastavro.schemaless_writer(out, "long", number)
        _walked("long", out.getvalue())


def _array(count: int) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(LONGS), [0] * count)
    return out.getvalue()


def test_items_are_counted_over_all_blocks() -> None:
    _walked(LONGS, _array(ITEMS_MAX))
    half = _array(ITEMS_MAX // 2)[:-1]
    _walked(LONGS, half + half + b"\0")
    for flood in (_array(ITEMS_MAX + 1), half + half + b"\x02\x00\x00"):
        with pytest.raises(DecodeError, match="more than"):
            _walked(LONGS, flood)
