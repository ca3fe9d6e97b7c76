"""Reads Avro schemas that may come from the network, and refuses those that could hurt a decoder.

fastavro 1.13 ends the process on a recursive schema and spins on array items that take no bytes, so neither gets
past this module; nor does anything that grows beyond the limits below. What comes out is a graph without cycles
in which every value takes at least one byte (``null`` stands only in unions, no record is empty), so that a
payload can never hold more values than it has bytes.
"""

import json
import re
from collections.abc import Mapping
from typing import NoReturn

from modelcast.schemas.avro.schema_nodes import Array, Enumeration, Field, Fixed, Map, Node, Primitive, Struct, Union
from modelcast.schemas.errors import DecodeError
from modelcast.schemas.topics import RECORD_SIZE_MAX

SCHEMA_SIZE_MAX = 64 * 1024
"""Bytes of a schema's text."""
DEPTH_MAX = 16
"""Types within types, references followed."""
WEIGHT_MAX = 5_000
"""Types in the whole schema with every reference written out: bounds what one value can make a reader do."""
MEMBERS_MAX = 256
"""Fields of a record, symbols of an enum, branches of a union."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_FULL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}(\.[A-Za-z_][A-Za-z0-9_]{0,127}){0,8}")
_PRIMITIVES = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
_RESERVED = _PRIMITIVES | {"record", "error", "enum", "array", "map", "fixed", "union", "request", "error_union"}
_NULL = Primitive("null")


def parse_schema(text: str | bytes) -> Node:
    """Read a schema's JSON text.

    Raises:
        DecodeError: it is no schema, or one that is not let near a decoder; ``reason`` is ``bad-schema``.
    """
    if len(text) > SCHEMA_SIZE_MAX:
        raise _refused(f"{len(text)} bytes, more than {SCHEMA_SIZE_MAX}")
    try:
        body = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        raise _refused(f"not JSON: {error}"[:200]) from None
    return _Parser().sized(body, "", 0)


class _Parser:
    """One schema's reading: the names defined so far, what is still open, and the work done."""

    def __init__(self) -> None:
        self.named: dict[str, tuple[Node, int]] = {}  # with its height
        self.open: set[str] = set()
        self.weights: dict[str, int] = {}
        self.weight = 0

    def sized(self, body: object, namespace: str, depth: int) -> Node:
        node = self.read(body, namespace, depth)
        if node == _NULL:
            raise _refused("null outside of a union: a value that takes no bytes can be repeated without end")
        return node

    def read(self, body: object, namespace: str, depth: int) -> Node:
        self._weigh(1)
        if depth > DEPTH_MAX:
            raise _refused(f"nested deeper than {DEPTH_MAX}")
        if isinstance(body, str):
            return self._reference(body, namespace, depth)
        if isinstance(body, list):
            return self._union(body, namespace, depth)
        if not isinstance(body, Mapping):
            raise _refused(f"a type is a name, a list or an object, not {type(body).__name__}")
        kind = body.get("type")
        if isinstance(kind, (dict, list)):  # {"type": {"type": ...}}: legal, and the same as what it wraps
            return self.read(kind, namespace, depth + 1)
        match kind:
            case "array":
                return Array(self.sized(body.get("items"), namespace, depth + 1))
            case "map":
                return Map(self.sized(body.get("values"), namespace, depth + 1))
            case "record" | "enum" | "fixed":
                return self._definition(kind, body, namespace, depth)
            case str():
                return self._reference(kind, namespace, depth)
            case _:
                raise _refused("an object without a type")

    def _reference(self, name: str, namespace: str, depth: int) -> Node:
        if name in _PRIMITIVES:
            return Primitive(name)
        full = name if "." in name or not namespace else f"{namespace}.{name}"
        if full in self.open:
            raise _refused(f"{full[:80]} contains itself")
        if full not in self.named:
            raise _refused(f"unknown type {full[:80]!r}")
        node, height = self.named[full]
        self._weigh(self.weights[full])
        if depth + height > DEPTH_MAX:
            raise _refused(f"nested deeper than {DEPTH_MAX}")
        return node

    def _union(self, body: list[object], namespace: str, depth: int) -> Node:
        if not 1 <= len(body) <= MEMBERS_MAX:
            raise _refused(f"a union of {len(body)} types")
        branches = tuple(self.read(item, namespace, depth + 1) for item in body)
        kinds = [_branch_key(branch) for branch in branches]
        if "union" in kinds or len(set(kinds)) != len(kinds):
            raise _refused("a union within a union, or with the same type twice")
        return Union(branches)

    def _definition(self, kind: str, body: Mapping[str, object], namespace: str, depth: int) -> Node:
        full = _full_name(body, namespace)
        if full in self.named or full in self.open:
            raise _refused(f"{full} is defined twice")
        before = self.weight
        self.open.add(full)
        node: Node
        if kind == "enum":
            node = Enumeration(full, _symbols(body), _enum_default(body))
        elif kind == "fixed":
            node = Fixed(full, _fixed_size(body))
        else:
            node = Struct(full, self._fields(body, full.rpartition(".")[0], depth))
        self.open.discard(full)
        self.named[full] = (node, _height(node))
        self.weights[full] = self.weight - before
        return node

    def _fields(self, body: Mapping[str, object], namespace: str, depth: int) -> tuple[Field, ...]:
        items = body.get("fields")
        if not isinstance(items, list) or not 1 <= len(items) <= MEMBERS_MAX:
            raise _refused(f"a record needs 1 to {MEMBERS_MAX} fields")
        fields: list[Field] = []
        for item in items:
            if not isinstance(item, Mapping) or not _is_name(item.get("name")) or "type" not in item:
                raise _refused("a field needs a name and a type")
            aliases = item.get("aliases", [])
            if not isinstance(aliases, list) or not all(_is_name(alias) for alias in aliases):
                raise _refused("a field's aliases are a list of names")
            node = self.sized(item["type"], namespace, depth + 1)
            fields.append(Field(str(item["name"]), node, "default" in item, tuple(aliases)))
        if len({f.name for f in fields}) != len(fields):
            raise _refused("two fields have the same name")
        return tuple(fields)

    def _weigh(self, weight: int) -> None:
        self.weight += weight
        if self.weight > WEIGHT_MAX:
            raise _refused(f"more than {WEIGHT_MAX} types")


def _height(node: Node) -> int:
    match node:
        case Array(inner) | Map(inner):
            return 1 + _height(inner)
        case Union(branches):
            return 1 + max(_height(branch) for branch in branches)
        case Struct(fields=fields):
            return 1 + max((_height(f.type) for f in fields), default=0)
        case _:
            return 0


def _branch_key(node: Node) -> str:
    match node:
        case Primitive(kind):
            return kind
        case Fixed(name=name) | Enumeration(name=name) | Struct(name=name):
            return "." + name
        case _:
            return type(node).__name__.lower()


def _full_name(body: Mapping[str, object], namespace: str) -> str:
    name, space = body.get("name"), body.get("namespace", namespace)
    if not isinstance(name, str) or not isinstance(space, str):
        raise _refused("a named type needs a name")
    full = name if "." in name or not space else f"{space}.{name}"
    if not _FULL_NAME.fullmatch(full) or full.rpartition(".")[2] in _RESERVED:
        raise _refused(f"bad type name {full[:80]!r}")
    return full


def _symbols(body: Mapping[str, object]) -> tuple[str, ...]:
    symbols = body.get("symbols")
    if not isinstance(symbols, list) or not 1 <= len(symbols) <= MEMBERS_MAX or not all(_is_name(s) for s in symbols):
        raise _refused(f"an enum needs 1 to {MEMBERS_MAX} symbols that are names")
    if len(set(symbols)) != len(symbols):
        raise _refused("an enum has a symbol twice")
    return tuple(symbols)


def _enum_default(body: Mapping[str, object]) -> str | None:
    default = body.get("default")
    if default is None:
        return None
    symbols = body.get("symbols")
    if not isinstance(default, str) or not isinstance(symbols, list) or default not in symbols:
        raise _refused("an enum's default is none of its symbols")
    return default


def _fixed_size(body: Mapping[str, object]) -> int:
    size = body.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= RECORD_SIZE_MAX:
        raise _refused(f"a fixed type takes 1 to {RECORD_SIZE_MAX} bytes")
    return size


def _is_name(value: object) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return result


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _refused(why: str) -> DecodeError:
    return DecodeError(f"schema refused: {why}", reason="bad-schema")
