"""The writers' schemas that a reader knows, by the fingerprint that records carry."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType
from typing import Any, cast, get_args

from fastavro.schema import parse_schema as parse_for_fastavro

from modelcast.schemas.avro.any_record import Record
from modelcast.schemas.avro.compatibility import incompatibilities
from modelcast.schemas.avro.payload_walk import Walk, walk_of
from modelcast.schemas.avro.schema_guard import parse_schema
from modelcast.schemas.avro.schema_nodes import Node, Struct, canonical, fingerprint_hex
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import DecodeError, UnknownSchema
from modelcast.schemas.records import ModelAck

FOREIGN_MAX = 256
"""Schemas from elsewhere that a book takes in, so that they can't fill a reader's memory."""

RECORD_CLASSES: MappingProxyType[str, type[Record]] = MappingProxyType(
    {f"modelcast.{cls.__name__}": cls for cls in get_args(Record)}
)

_FILE = re.compile(r"([A-Za-z]+)\.v([1-9][0-9]*)\.avsc")


@dataclass(frozen=True, slots=True)
class SchemaFile:
    """One version of one record's schema, as it lies in this package."""

    name: str  # full name: modelcast.ModelAck
    version: int
    text: str
    node: Node


@dataclass(frozen=True, slots=True)
class WriterSchema:
    """What is needed to read what one schema wrote.

    ``reader`` is None where the writer's schema is also today's: then nothing needs resolving.

    ``step`` is walked before fastavro sees a payload; None for today's ``ModelAck``, where the walk would cost as
    much as all else (2.5 µs a pod). It can do without: none of its items takes fewer bytes than one, so that a count
    that lies ends at the payload's end, and its memory stays below 100 bytes for each byte.
    """

    fingerprint_hex: str
    text: str  # Parsing Canonical Form
    digest: str  # SHA-256 of ``text``
    cls: type[Record]
    writer: Any  # as fastavro holds it
    reader: Any
    step: Walk | None


def schema_files() -> tuple[SchemaFile, ...]:
    """All versions of all schemas of this package, by name and version."""
    found = []
    for entry in (files("modelcast.schemas") / "avro").iterdir():
        match = _FILE.fullmatch(entry.name)
        if match:
            text = entry.read_text(encoding="utf-8")
            found.append(SchemaFile(f"modelcast.{match[1]}", int(match[2]), text, parse_schema(text)))
    return tuple(sorted(found, key=lambda f: (f.name, f.version)))


def _without_logical_types(schema: Any) -> Any:
    """Timestamps are read as the integers that they are: a datetime overflows long before a long does."""
    if isinstance(schema, list):
        return [_without_logical_types(item) for item in schema]
    if isinstance(schema, dict):
        return {
            key: value if key == "default" else _without_logical_types(value)
            for key, value in schema.items()
            if key not in {"logicalType", "doc"}
        }
    return schema


def _bad(why: str, fingerprint: str) -> DecodeError:
    return DecodeError(f"schema refused: {why}", reason="bad-schema", subject=fingerprint)


_FILES = schema_files()
_TODAY = {file.name: file for file in _FILES}  # the highest version comes last
_READERS = {name: parse_for_fastavro(_without_logical_types(json.loads(file.text))) for name, file in _TODAY.items()}


class SchemaBook:
    """Known writers' schemas. It starts with this package's own and learns more by ``add``."""

    def __init__(self, own: Iterable[SchemaFile] = _FILES) -> None:
        self._known: dict[str, WriterSchema] = {}  # by fingerprint: the first that was learnt
        self._stated: dict[str, WriterSchema] = {}  # by the SHA-256 of the canonical form
        for file in own:
            self._learn(_OWN.get(file) or _writer_schema(file.node))
        self._own = len(self._stated)

    def __contains__(self, fingerprint: str) -> bool:
        return fingerprint in self._known

    def find(self, fingerprint: str, digest: str = "") -> WriterSchema:
        """The schema of a fingerprint (16 hex digits).

        Args:
            fingerprint: as a record carries it. Another schema that has the same can be made on purpose.
            digest: SHA-256 of its canonical form, where the writer stated it; "": the first that was learnt.

        Raises:
            UnknownSchema: not known here; ``subject`` is the fingerprint, under which it may be fetched.
        """
        known = self._stated.get(digest) if digest else self._known.get(fingerprint)
        if known is not None and known.fingerprint_hex == fingerprint:
            return known
        if fingerprint in self._known:
            raise UnknownSchema(
                f"written with the schema {digest}, but another one has its fingerprint: "
                f"{self._known[fingerprint].digest}",
                reason="schema-differs",
                subject=fingerprint,
                hint="the registry's schemas/ was forged or damaged: put the writer's schema back there",
            )
        raise UnknownSchema(
            "written with a schema that is not known here",
            reason="unknown-schema",
            subject=fingerprint,
            hint="it may lie in the registry under schemas/",
        )

    def add(self, fingerprint: str, text: str | bytes) -> None:
        """Learn a schema that was fetched by its fingerprint (16 hex digits).

        Of several that have one fingerprint, ``find`` gives the first to those who name no digest.

        Raises:
            DecodeError: the text is refused by the guard, has another fingerprint, is of no known record, or
                can't be resolved to today's; ``reason`` is ``bad-schema``.
        """
        node = parse_schema(text)
        if fingerprint_hex(node) != fingerprint:
            raise _bad(f"the text's fingerprint is {fingerprint_hex(node)}", fingerprint)
        if sha256_of(canonical(node).encode()) in self._stated:
            return
        if not isinstance(node, Struct) or node.name not in RECORD_CLASSES:
            raise _bad("of no record that is known here", fingerprint)
        found = incompatibilities(_TODAY[node.name].node, node)
        if found:
            raise _bad(f"does not resolve to today's {node.name}: {found[0]}", fingerprint)
        if len(self._stated) - self._own >= FOREIGN_MAX:
            raise _bad(f"more than {FOREIGN_MAX} schemas from elsewhere", fingerprint)
        self._learn(_writer_schema(node))

    def _learn(self, schema: WriterSchema) -> None:
        self._known.setdefault(schema.fingerprint_hex, schema)
        self._stated[schema.digest] = schema


def _writer_schema(node: Node) -> WriterSchema:
    text = canonical(node)
    name = cast(Struct, node).name
    is_today = text == canonical(_TODAY[name].node)
    return WriterSchema(
        fingerprint_hex=fingerprint_hex(text),
        text=text,
        digest=sha256_of(text.encode()),
        cls=RECORD_CLASSES[name],
        # fastavro sees the canonical form only: no logical types, no defaults, no names that confuse.
        writer=parse_for_fastavro(json.loads(text)),
        reader=None if is_today else _READERS[name],
        step=None if is_today and RECORD_CLASSES[name] is ModelAck else walk_of(node),
    )


_OWN = {file: _writer_schema(file.node) for file in _FILES}
"""Made once: a book starts with them, and a process has many books."""

TODAY: MappingProxyType[type[Record], WriterSchema] = MappingProxyType(
    {RECORD_CLASSES[name]: _OWN[file] for name, file in _TODAY.items()}
)
"""What each record is written with."""
