"""The schemas that lie beside the code, their examples, and the classes that they speak of, agree."""

import json
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import fastavro
import pytest

from modelcast.schemas.avro.compatibility import incompatibilities
from modelcast.schemas.avro.record_shapes import to_plain
from modelcast.schemas.avro.schema_book import RECORD_CLASSES, SchemaFile, schema_files
from modelcast.schemas.avro.schema_nodes import Struct, canonical, fingerprint_hex
from modelcast.schemas.codec import WRITER_SCHEMAS, decode, encode, fingerprint_of
from tests.support.records import example_records

FILES = schema_files()
EXAMPLES = example_records.json_files()


def _named(path: Path) -> str:
    return path.stem


def _today() -> dict[str, SchemaFile]:
    return {file.name: file for file in FILES}


@pytest.mark.parametrize("path", EXAMPLES, ids=_named)
def test_an_example_decodes_to_the_record_that_its_json_describes(path: Path) -> None:
    assert decode(example_records.golden_of(path)) == example_records.record_of(path)


@pytest.mark.parametrize("path", EXAMPLES, ids=_named)
def test_an_example_of_todays_version_encodes_to_its_golden_bytes(path: Path) -> None:
    golden = example_records.golden_of(path)
    if fingerprint_of(golden) in WRITER_SCHEMAS:
        assert encode(example_records.record_of(path)) == golden


def test_every_version_of_every_schema_has_an_example() -> None:
    covered = {fingerprint_of(example_records.golden_of(path)) for path in EXAMPLES}
    assert {fingerprint_hex(file.node) for file in FILES} <= covered


def test_every_record_class_has_a_schema_and_every_schema_a_class() -> None:
    assert {file.name for file in FILES} == set(RECORD_CLASSES)


@pytest.mark.parametrize("file", FILES, ids=lambda f: f"{f.name}.v{f.version}")
def test_a_schemas_canonical_form_and_fingerprint_are_those_of_another_implementation(file: SchemaFile) -> None:
    theirs = fastavro.schema.to_parsing_canonical_form(json.loads(file.text))
    assert canonical(file.node) == theirs
    assert fingerprint_hex(file.node) == fastavro.schema.fingerprint(theirs, "CRC-64-AVRO")


@pytest.mark.parametrize("file", _today().values(), ids=lambda f: f.name)
def test_todays_schema_has_the_fields_of_the_class_in_its_order(file: SchemaFile) -> None:
    assert isinstance(file.node, Struct)
    assert [f.name for f in file.node.fields] == [f.name for f in fields(RECORD_CLASSES[file.name])]


@pytest.mark.parametrize("file", _today().values(), ids=lambda f: f.name)
def test_a_field_that_the_class_gives_a_default_has_the_same_in_the_schema(file: SchemaFile) -> None:
    written = {f["name"]: f for f in json.loads(file.text)["fields"]}
    for field in fields(RECORD_CLASSES[file.name]):
        if field.default_factory is not MISSING:
            assert written[field.name]["default"] == {}
        elif field.default is not MISSING:
            expected = list(field.default) if isinstance(field.default, tuple) else field.default
            assert written[field.name]["default"] == expected


def _types(schema: Any) -> Any:
    if isinstance(schema, list):
        for item in schema:
            yield from _types(item)
    elif isinstance(schema, dict):
        yield schema
        for key in ("fields", "items", "values", "type"):
            yield from _types(schema.get(key))


@pytest.mark.parametrize("file", FILES, ids=lambda f: f"{f.name}.v{f.version}")
def test_every_field_and_type_is_explained_and_every_time_says_its_unit(file: SchemaFile) -> None:
    for part in _types(json.loads(file.text)):
        if "name" in part:
            assert part["doc"].endswith("."), part["name"]
            is_time = isinstance(part["type"], dict) and part["type"].get("logicalType") == "timestamp-micros"
            assert is_time == part["name"].endswith("_us"), part["name"]


def test_every_pair_of_versions_reads_each_other() -> None:
    """FULL_TRANSITIVE: any version reads what any other wrote."""
    for one in FILES:
        for other in FILES:
            if one.name == other.name:
                assert incompatibilities(one.node, other.node) == [], (
                    f"v{one.version} reads v{other.version} of {one.name}"
                )


def test_a_record_becomes_nothing_but_what_avro_knows() -> None:
    def kinds(value: Any) -> set[type]:
        if isinstance(value, dict):
            return {dict}.union(*(kinds(v) for v in value.values()))
        if isinstance(value, list):
            return {list}.union(*(kinds(v) for v in value))
        return {type(value)}

    for path in EXAMPLES:
        plain = to_plain(example_records.record_of(path))
        assert kinds(plain) <= {dict, list, str, int, float, bool, bytes, type(None)}
