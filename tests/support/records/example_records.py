"""The example records that lie beside the schemas: readable JSON, and the bytes that they must become.

``python -m tests.support.records.example_records`` writes the ``.hex`` files anew from the JSON; read the diff.
"""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any, cast, get_type_hints

import modelcast.schemas.codec as codec
from modelcast.schemas.avro.any_record import Record
from modelcast.schemas.avro.record_shapes import from_plain, to_plain
from modelcast.schemas.avro.schema_book import RECORD_CLASSES, schema_files

TODAYS_FILES = {file.name: file for file in schema_files()}.values()
FOLDER = Path(codec.__file__).parent / "avro" / "examples"


def json_files() -> list[Path]:
    """All examples."""
    return sorted(FOLDER.glob("*.json"))


def record_of(path: Path) -> Record:
    """The record that an example describes: field by field, bytes as Latin-1 text, as Avro's defaults write them."""
    cls = RECORD_CLASSES[f"modelcast.{path.name.split('.')[0]}"]
    body: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    hints = get_type_hints(cls)
    for field in fields(cls):
        if hints[field.name] is bytes:
            body[field.name] = body[field.name].encode("latin-1")
    for signature in body.get("signatures", ()):
        signature["sig"] = signature["sig"].encode("latin-1")
    return cast(Record, from_plain(cls, body))


def plain_of(path: Path) -> dict[str, Any]:
    """An example as the dict that an Avro library writes."""
    return to_plain(record_of(path))


def golden_of(path: Path) -> bytes:
    """The bytes that the example's own schema version gives."""
    return bytes.fromhex(path.with_suffix(".hex").read_text(encoding="ascii"))


def example_bytes() -> list[bytes]:
    """Every example's bytes."""
    return [golden_of(path) for path in json_files()]


def main() -> None:
    """Write the golden files of those examples that are of today's version."""
    todays = {f"{file.name.removeprefix('modelcast.')}.v{file.version}" for file in TODAYS_FILES}
    for path in json_files():
        if ".".join(path.name.split(".")[:2]) not in todays:
            continue  # the bytes of an older version are for ever
        digits = codec.encode(record_of(path)).hex()
        lines = [digits[i : i + 64] for i in range(0, len(digits), 64)]
        path.with_suffix(".hex").write_text("\n".join(lines) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
