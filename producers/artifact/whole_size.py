"""How long a model's file is by what it says of itself: one that is shorter was cut off.

Only what is certain is told. A file that begins otherwise than its format does is left to who loads it.
"""

import struct
from typing import BinaryIO

import orjson

SAFETENSORS_HEADER_MAX = 16 * 1024**2
GGUF_HEADER_MAX = 32 * 1024**2
_HDF5 = b"\x89HDF\r\n\x1a\n"
_HDF5_ADDRESSES = {0: (13, 24), 1: (13, 28), 2: (9, 12), 3: (9, 12)}
"""By the version of the superblock: where the size of an address stands, and where the addresses do."""
_ONNX_NUMBERS = frozenset([1, 5])
_ONNX_BYTES = frozenset([2, 3, 4, 6, 7, 8, 14, 20, 25, 26])
_GGUF_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a value by its type; 8 is a text and 9 an array."""
_GGUF_TEXT, _GGUF_ARRAY = 8, 9


def least_size(ending: str, head: bytes, stream: BinaryIO) -> int | None:
    """The bytes that the whole file has at least; None if that can't be told.

    Args:
        ending: of its name, in small letters.
        head: how it begins.
        stream: its bytes, at any place; it is left anywhere.

    Raises:
        OSError: the disk.
    """
    match ending:
        case ".safetensors":
            return _safetensors(head, stream)
        case ".h5" | ".hdf5" | ".keras":
            return _hdf5(head)
        case ".onnx":
            return _onnx(head)
        case ".gguf" if head.startswith(b"GGUF"):
            stream.seek(0)
            return _gguf(stream.read(GGUF_HEADER_MAX))
    return None


def _safetensors(head: bytes, stream: BinaryIO) -> int | None:
    size = int.from_bytes(head[:8], "little")
    if len(head) < 8 or not 2 <= size <= SAFETENSORS_HEADER_MAX:
        return None
    if head[8:9] != b"{":
        return None
    stream.seek(8)
    header = b""
    while len(header) < size and (more := stream.read(size - len(header))):
        header += more
    if len(header) < size:
        return 8 + size
    try:
        tensors = orjson.loads(header)
        ends = [t["data_offsets"][1] for name, t in tensors.items() if name != "__metadata__"]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        return None
    return 8 + size + max((end for end in ends if isinstance(end, int)), default=0)


def _hdf5(head: bytes) -> int | None:
    """Of the superblock's end-of-file address; the HDF5 library refuses a shorter file, too."""
    if not head.startswith(_HDF5) or len(head) < 64 or head[8] not in _HDF5_ADDRESSES:
        return None
    size_at, addresses_at = _HDF5_ADDRESSES[head[8]]
    if (width := head[size_at]) not in {4, 8}:
        return None
    base, end = (int.from_bytes(head[at : at + width], "little") for at in (addresses_at, addresses_at + 2 * width))
    return end if base == 0 and end != 2 ** (8 * width) - 1 else None


def _onnx(head: bytes) -> int | None:
    """Of the fields of the message, one after the other, up to the first that ends behind ``head``: the graph."""
    if not head.startswith(b"\x08"):
        return None
    at = 0
    try:
        while at < len(head):
            tag, at = _varint(head, at)
            if tag & 7 == 0 and tag >> 3 in _ONNX_NUMBERS:
                _, at = _varint(head, at)
            elif tag & 7 == 2 and tag >> 3 in _ONNX_BYTES:
                length, at = _varint(head, at)
                at += length
            else:
                return None
    except IndexError:
        return None
    return at


def _varint(body: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 64:
        byte = body[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
    raise IndexError


def _gguf(body: bytes) -> int | None:
    """Of the place where the last tensor begins. A header that goes on behind ``body`` ends behind it."""
    try:
        version, tensors, pairs = struct.unpack_from("<IQQ", body, 4)
        if version not in {2, 3}:
            return None
        at, alignment = 24, 32
        for _ in range(pairs):
            key_at, at = at + 8, _behind_text(body, at)
            (kind,) = struct.unpack_from("<I", body, at)
            if body[key_at:at] == b"general.alignment" and kind == 4:
                (alignment,) = struct.unpack_from("<I", body, at + 4)
            at = _behind_value(body, at + 4, kind)
        last = 0
        for _ in range(tensors):
            at = _behind_text(body, at)
            (dimensions,) = struct.unpack_from("<I", body, at)
            at += 4 + 8 * dimensions + 4
            (offset,) = struct.unpack_from("<Q", body, at)
            at, last = at + 8, max(last, offset)
    except struct.error:
        return None if len(body) == GGUF_HEADER_MAX else len(body) + 1
    except (KeyError, OverflowError, RecursionError):
        return None
    if not tensors or not alignment:
        return at
    return -(-at // alignment) * alignment + last + 1


def _behind_text(body: bytes, at: int) -> int:
    (length,) = struct.unpack_from("<Q", body, at)
    return at + 8 + int(length)


def _behind_value(body: bytes, at: int, kind: int) -> int:
    if kind == _GGUF_TEXT:
        return _behind_text(body, at)
    if kind != _GGUF_ARRAY:
        return at + _GGUF_SIZES[kind]
    of, count = struct.unpack_from("<IQ", body, at)
    at += 12
    if of in _GGUF_SIZES:
        return at + _GGUF_SIZES[of] * int(count)
    for _ in range(count):
        at = _behind_value(body, at, of)
    return at
