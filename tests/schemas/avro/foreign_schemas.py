"""Schemas that another, newer or older, writer might use for the records of today."""

import io
import json
from copy import deepcopy
from typing import Any

import fastavro

from modelcast.schemas.avro.schema_book import SchemaBook, schema_files
from modelcast.schemas.avro.schema_guard import parse_schema
from modelcast.schemas.avro.schema_nodes import canonical, fingerprint
from modelcast.schemas.codec import MARKER
from tests.support.records import example_records


def todays(name: str) -> dict[str, Any]:
    """The JSON of today's schema of a record, by its short name; the caller may change it."""
    text = {file.name: file.text for file in schema_files()}[f"modelcast.{name}"]
    schema: dict[str, Any] = json.loads(text)
    return schema


def field(schema: dict[str, Any], name: str) -> dict[str, Any]:
    """A field of a schema, by name."""
    found: dict[str, Any] = next(f for f in schema["fields"] if f["name"] == name)
    return found


def with_every_kind_of_field(name: str) -> dict[str, Any]:
    """Today's schema and, in front of and behind its fields, fields of all the types that Avro has."""
    schema = todays(name)
    new: list[dict[str, Any]] = [
        {"name": "x_boolean", "type": "boolean", "default": False},
        {"name": "x_int", "type": "int", "default": 0},
        {"name": "x_float", "type": "float", "default": 0},
        {"name": "x_double", "type": "double", "default": 0},
        {"name": "x_bytes", "type": "bytes", "default": ""},
        {"name": "x_fixed", "type": {"type": "fixed", "name": "XFixed", "size": 3}, "default": "abc"},
        {"name": "x_enum", "type": {"type": "enum", "name": "XEnum", "symbols": ["A", "B"]}, "default": "A"},
        {"name": "x_again", "type": ["null", "XEnum", "XFixed", "string"], "default": None},
        {"name": "x_map", "type": {"type": "map", "values": {"type": "array", "items": "long"}}, "default": {}},
        {
            "name": "x_items",
            "type": {
                "type": "array",
                "items": {"type": "record", "name": "XItem", "fields": [{"name": "deep", "type": ["null", "XEnum"]}]},
            },
            "default": [],
        },
    ]
    schema["fields"] = new[:5] + schema["fields"] + new[5:]
    return schema


EXTRAS: dict[str, Any] = {
    "x_boolean": True,
    "x_int": -5,
    "x_float": 0.5,
    "x_double": 0.25,
    "x_bytes": b"\x00\xff",
    "x_fixed": b"abc",
    "x_enum": "B",
    "x_again": "B",
    "x_map": {"a": [1, 2, 3], "b": []},
    "x_items": [{"deep": None}, {"deep": "A"}],
}


def learn(book: SchemaBook, schema: dict[str, Any]) -> bytes:
    """Teach a book a schema; returns the first ten bytes of what it writes."""
    text = json.dumps(schema)
    mark = fingerprint(parse_schema(text))
    book.add(mark.hex(), text)
    return MARKER + mark


def written(schema: dict[str, Any], plain: dict[str, Any]) -> bytes:
    """A record's body, written with ``schema``. Logical types are left out, as in the canonical form."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, json.loads(canonical(parse_schema(json.dumps(schema)))), plain)
    return out.getvalue()


def foreign_payloads(book: SchemaBook) -> list[bytes]:
    """The examples once more, as a newer writer of them would write; ``book`` learns its schemas."""
    payloads = []
    for path in example_records.json_files():
        schema = with_every_kind_of_field(path.name.split(".")[0])
        plain = example_records.plain_of(path) | deepcopy(EXTRAS)
        payloads.append(learn(book, schema) + written(schema, plain))
    return payloads
