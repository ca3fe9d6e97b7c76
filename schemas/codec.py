"""Records to bytes and back: Avro single-object encoding.

``C3 01``, the writer's schema as 8 bytes of CRC-64-AVRO, then the value. ``decode`` raises ``DecodeError`` or
``UnknownSchema`` for whatever it is given, and nothing else.
"""

from collections.abc import Mapping
from io import BytesIO
from types import MappingProxyType
from typing import Any, TypeVar, cast

from fastavro import schemaless_reader, schemaless_writer

from modelcast.schemas.avro.any_record import Record
from modelcast.schemas.avro.payload_walk import walk
from modelcast.schemas.avro.record_checks import check
from modelcast.schemas.avro.record_shapes import from_plain, to_plain
from modelcast.schemas.avro.schema_book import TODAY, SchemaBook, WriterSchema
from modelcast.schemas.avro.value_checks import BadValue
from modelcast.schemas.errors import ContentError, DecodeError
from modelcast.schemas.topics import RECORD_SIZE_MAX

__all__ = [
    "DEFAULT",
    "HEADER_SIZE_BYTES",
    "MARKER",
    "WRITER_SCHEMAS",
    "SchemaBook",
    "decode",
    "decode_as",
    "encode",
    "fingerprint_of",
    "writer_schema",
    "writer_schema_digest",
]

MARKER = b"\xc3\x01"
HEADER_SIZE_BYTES = 10

DEFAULT = SchemaBook()
"""The book of this process."""

WRITER_SCHEMAS: Mapping[str, str] = MappingProxyType({s.fingerprint_hex: s.text for s in TODAY.values()})
"""What this software writes with: fingerprint (hex) to canonical schema text, for ``registry/schemas/``."""

R = TypeVar("R", bound=Record)


def encode(record: Record) -> bytes:
    """A record's bytes.

    Raises:
        ContentError: a value is not allowed, or the whole is larger than ``RECORD_SIZE_MAX`` bytes.
    """
    schema = TODAY[type(record)]
    out = BytesIO(MARKER + bytes.fromhex(schema.fingerprint_hex))
    out.seek(HEADER_SIZE_BYTES)
    try:
        check(record)
        schemaless_writer(out, schema.writer, to_plain(record))
    except BadValue as error:
        raise ContentError(f"{type(record).__name__}.{error}") from None
    except (ValueError, TypeError, OverflowError, AttributeError) as error:
        raise ContentError(f"{type(record).__name__} can't be written: {error}"[:500]) from None
    data = out.getvalue()
    if len(data) > RECORD_SIZE_MAX:
        raise ContentError(
            f"{type(record).__name__} of {len(data)} bytes", hint=f"a record takes at most {RECORD_SIZE_MAX} bytes"
        )
    return data


def decode(data: bytes | None, *, book: SchemaBook = DEFAULT, schema_digest: str = "") -> Record:
    """The record that ``data`` holds, resolved to today's form of it.

    Args:
        data: what came.
        book: the schemas that it may be written with.
        schema_digest: SHA-256 of the canonical schema that it was written with, where that is known; "": any that has
            the fingerprint.

    Raises:
        DecodeError: it holds none; ``reason`` is ``oversize``, ``framing``, ``malformed`` or ``bad-value``.
        UnknownSchema: the writer's schema is not in ``book``; ``subject`` is its fingerprint.
    """
    schema = book.find(fingerprint_of(data), schema_digest)
    record: Record = _read(schema, data or b"")
    return record


def decode_as(cls: type[R], data: bytes | None, *, book: SchemaBook = DEFAULT) -> R:
    """Like ``decode``, for where only one kind of record belongs.

    Raises:
        DecodeError: also if it is another kind of record; ``reason`` is then ``bad-value``.
        UnknownSchema: as ``decode``.
    """
    record = decode(data, book=book)
    if not isinstance(record, cls):
        raise DecodeError(f"a {type(record).__name__} where a {cls.__name__} belongs", reason="bad-value")
    return record


def fingerprint_of(data: bytes | None) -> str:
    """The fingerprint (hex) that an encoded record carries; its size and framing are checked on the way.

    Args:
        data: what came; None is what Kafka gives for a record without a value.

    Raises:
        DecodeError: ``reason`` is ``oversize`` or ``framing``.
    """
    if data is None:
        raise DecodeError("a record without a value", reason="framing")
    if len(data) > RECORD_SIZE_MAX:
        raise DecodeError(f"{len(data)} bytes, more than {RECORD_SIZE_MAX}", reason="oversize")
    if len(data) < HEADER_SIZE_BYTES or data[:2] != MARKER:
        hint = "Confluent framing is not read yet" if data[:1] == b"\0" else ""
        raise DecodeError("not a single-object Avro record", reason="framing", hint=hint)
    return data[2:HEADER_SIZE_BYTES].hex()


def writer_schema(cls: type[Record]) -> tuple[str, str]:
    """(fingerprint hex, canonical text) of the schema that records of ``cls`` are written with."""
    schema = TODAY[cls]
    return schema.fingerprint_hex, schema.text


def writer_schema_digest(cls: type[Record]) -> str:
    """SHA-256 of the canonical text of the schema that records of ``cls`` are written with."""
    return TODAY[cls].digest


def _read(schema: WriterSchema, data: bytes) -> Any:
    data = bytes(data)
    if schema.step is not None:
        walk(schema.step, data, HEADER_SIZE_BYTES)
    stream = BytesIO(data)
    stream.seek(HEADER_SIZE_BYTES)
    try:
        plain = schemaless_reader(stream, schema.writer, schema.reader)
    except Exception as error:
        # fastavro raises whatever its Python was doing at the time; all of it means the same here.
        raise DecodeError(f"malformed record: {type(error).__name__}: {error}"[:500], reason="malformed") from None
    if stream.tell() != len(data):
        raise DecodeError("malformed record: bytes left over after it", reason="malformed")
    try:
        record = from_plain(schema.cls, cast(dict[str, Any], plain))
        check(record)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise DecodeError(f"{schema.cls.__name__}.{error}"[:500], reason="bad-value") from None
    return record
