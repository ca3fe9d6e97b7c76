"""Walks a payload by its writer's schema before a decoder sees it: every count and length is checked against the
bytes that are left. It reads no values, so it is cheap, and it is plain Python, so it cannot end the process.
"""

from collections.abc import Callable

from modelcast.schemas.avro.schema_nodes import Array, Enumeration, Field, Fixed, Map, Node, Primitive, Struct, Union
from modelcast.schemas.errors import DecodeError

Walk = Callable[[bytes, int], int]
"""From a payload and where a value starts to where it ends. Raises ``DecodeError`` or ``IndexError`` (cut short)."""

ITEMS_MAX = 16_384
"""Items of one array or map. No honest record comes near; it keeps a decoded lie small."""

_VARINT_BYTES_MAX = 10


def walk(step: Walk, data: bytes, start: int) -> None:
    """Check that ``data`` from ``start`` is exactly one value.

    Raises:
        DecodeError: it is cut short, too long, or claims more than it holds; ``reason`` is ``malformed``.
    """
    try:
        end = step(data, start)
    except IndexError:
        raise _malformed("cut short") from None
    if end != len(data):
        raise _malformed("bytes left over after the record" if end < len(data) else "cut short")


def walk_of(node: Node) -> Walk:
    """Build the walk of a schema that ``parse_schema`` accepted."""
    match node:
        case Primitive(kind):
            return _PRIMITIVES[kind]
        case Fixed(size=size):
            return lambda _data, at: at + size
        case Enumeration(symbols=symbols):
            return _enumeration(len(symbols))
        case Array(items):
            return _blocks(walk_of(items))
        case Map(values):
            return _blocks(_pair(walk_of(values)))
        case Union(branches):
            return _union([walk_of(branch) for branch in branches])
        case Struct(fields=fields):
            return _struct(fields)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A zig-zag number (long, at most 64 bits) and where it ends."""
    byte = data[at]
    at += 1
    number = byte & 0x7F
    shift = 7
    while byte & 0x80:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if shift > 7 * _VARINT_BYTES_MAX:
            raise _malformed("a number of more than 10 bytes")
    if number >> 64:
        raise _malformed("a number of more than 64 bits")
    return (number >> 1) ^ -(number & 1), at


def _long(data: bytes, at: int) -> int:
    if data[at] & 0x80:
        # The slow way checks the length; small numbers never get here.
        return _varint(data, at)[1]
    return at + 1


def _text(data: bytes, at: int) -> int:
    byte = data[at]
    if byte < 0x80:  # one byte of length: under 64 bytes of text
        if byte & 1:
            raise _malformed("a negative length")
        return at + 1 + (byte >> 1)
    length, at = _varint(data, at)
    if not 0 <= length <= len(data) - at:
        raise _malformed(f"a length of {length} with {len(data) - at} bytes left")
    return at + length


def _boolean(data: bytes, at: int) -> int:
    if data[at] > 1:
        raise _malformed("a boolean that is neither 0 nor 1")
    return at + 1


_PRIMITIVES: dict[str, Walk] = {
    "null": lambda _data, at: at,
    "boolean": _boolean,
    "int": _long,
    "long": _long,
    "float": lambda _data, at: at + 4,
    "double": lambda _data, at: at + 8,
    "bytes": _text,
    "string": _text,
}


def _enumeration(symbols: int) -> Walk:
    def step(data: bytes, at: int) -> int:
        index, at = _varint(data, at)
        if not 0 <= index < symbols:
            raise _malformed(f"symbol {index} of {symbols}")
        return at

    return step


def _union(branches: list[Walk]) -> Walk:
    def step(data: bytes, at: int) -> int:
        index, at = _varint(data, at)
        if not 0 <= index < len(branches):
            raise _malformed(f"branch {index} of {len(branches)}")
        return branches[index](data, at)

    return step


def _struct(fields: tuple[Field, ...]) -> Walk:
    steps = tuple(walk_of(f.type) for f in fields)

    def step(data: bytes, at: int) -> int:
        for one in steps:
            at = one(data, at)
        return at

    return step


def _pair(value: Walk) -> Walk:
    return lambda data, at: value(data, _text(data, at))


def _blocks(item: Walk) -> Walk:
    """Array or map: blocks of a count and that many items (a negative count is followed by the block's size)."""

    def step(data: bytes, at: int) -> int:
        items = 0
        while True:
            count, at = _varint(data, at)
            if count == 0:
                return at
            end = None
            if count < 0:
                count = -count
                size, at = _varint(data, at)
                end = at + size
            # Every item takes at least one byte, so more items than bytes is a lie.
            if count > len(data) - at:
                raise _malformed(f"{count} items with {len(data) - at} bytes left")
            items += count
            if items > ITEMS_MAX:
                raise _malformed(f"{items} items, more than {ITEMS_MAX}")
            for _ in range(count):
                at = item(data, at)
            if end is not None and end != at:
                raise _malformed("a block of another size than it says")

    return step


def _malformed(why: str) -> DecodeError:
    return DecodeError(f"malformed record: {why}", reason="malformed")
