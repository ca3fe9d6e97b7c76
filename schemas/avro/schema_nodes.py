"""An Avro schema as a value, its Parsing Canonical Form and its fingerprint."""

import json
from dataclasses import dataclass, field

from fastavro.schema import fingerprint as crc64_of

from modelcast.schemas.errors import ContentError


@dataclass(frozen=True, slots=True)
class Primitive:
    """``null``, ``boolean``, ``int``, ``long``, ``float``, ``double``, ``bytes`` or ``string``."""

    kind: str


@dataclass(frozen=True, slots=True)
class Fixed:
    """A run of bytes whose length the schema names."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Enumeration:
    """One symbol of a list; ``default`` is what a reader takes for a symbol that it does not know."""

    name: str
    symbols: tuple[str, ...]
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Array:
    """Items of one type."""

    items: "Node"


@dataclass(frozen=True, slots=True)
class Map:
    """Values of one type under string keys."""

    values: "Node"


@dataclass(frozen=True, slots=True)
class Union:
    """One of several types."""

    branches: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Field:
    """A record's field; ``aliases`` are names under which a reader also accepts it."""

    name: str
    type: "Node"
    has_default: bool = False
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Struct:
    """A record type. Nodes form a directed graph without cycles: a type used twice is the same object."""

    name: str
    fields: tuple[Field, ...] = field(default=())


Node = Primitive | Fixed | Enumeration | Array | Map | Union | Struct


def canonical(node: Node) -> str:
    """The Parsing Canonical Form: what decides how bytes are laid out, and nothing else."""
    return json.dumps(_plain(node, set()), separators=(",", ":"), ensure_ascii=False)


def _plain(node: Node, defined: set[str]) -> object:
    match node:
        case Primitive(kind):
            return kind
        case Array(items):
            return {"type": "array", "items": _plain(items, defined)}
        case Map(values):
            return {"type": "map", "values": _plain(values, defined)}
        case Union(branches):
            return [_plain(branch, defined) for branch in branches]
    if node.name in defined:
        return node.name
    defined.add(node.name)
    match node:
        case Fixed(name, size):
            return {"name": name, "type": "fixed", "size": size}
        case Enumeration(name, symbols):
            return {"name": name, "type": "enum", "symbols": list(symbols)}
        case Struct(name, fields):
            plain_fields = [{"name": f.name, "type": _plain(f.type, defined)} for f in fields]
            return {"name": name, "type": "record", "fields": plain_fields}


def fingerprint(schema: Node | str) -> bytes:
    """CRC-64-AVRO of a schema's Parsing Canonical Form, as the 8 little-endian bytes that records carry.

    Args:
        schema: a schema, or its canonical form.

    Raises:
        ContentError: the text can't be written as UTF-8.
    """
    return bytes.fromhex(fingerprint_hex(schema))


def fingerprint_hex(schema: Node | str) -> str:
    """The fingerprint as 16 hex digits in wire order: what a hex dump of a record shows after ``c301``.

    Raises:
        ContentError: the text can't be written as UTF-8.
    """
    text = schema if isinstance(schema, str) else canonical(schema)
    try:
        digits: str = crc64_of(text, "CRC-64-AVRO")
    except UnicodeEncodeError:
        raise ContentError("schema is not UTF-8") from None
    return digits
