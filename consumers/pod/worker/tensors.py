"""Tensors as the Open Inference Protocol V2 writes them (JSON, and raw bytes after it), to and from numpy."""

import base64
import binascii
import math
import struct
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from modelcast.schemas.errors import ContentError

Array = npt.NDArray[Any]

DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BYTES": np.dtype("O"),
}
_JSON_TYPES: dict[str, set[type]] = {"b": {bool}, "i": {int}, "u": {int}, "f": {int, float}, "O": {str}}
RANK_MAX = 32


class BadRequest(ContentError):
    """The client's request is wrong; the message says how."""


def read_shape(value: object, name: str) -> tuple[int, ...]:
    """A shape of non-negative whole numbers. Raises ``BadRequest``."""
    if (
        not isinstance(value, list)
        or len(value) > RANK_MAX
        or not all(isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 2**48 for n in value)
    ):
        raise BadRequest(f"input {name!r}: 'shape' must be a list of at most {RANK_MAX} non-negative whole numbers")
    return tuple(value)


def from_json(data: object, datatype: str, shape: tuple[int, ...], name: str) -> Array:
    """An array from a JSON list, flat or nested in any way that keeps row-major order. Raises ``BadRequest``."""
    flat = _flat(data, name)
    count = math.prod(shape)
    if len(flat) != count:
        raise BadRequest(f"input {name!r}: shape {list(shape)} needs {count} values, 'data' has {len(flat)}")
    dtype = DTYPES[datatype]
    # Checked before numpy sees it: it would cut 1.5 to 1, and make every string as long as the longest.
    if not set(map(type, flat)) <= _JSON_TYPES[dtype.kind]:
        raise BadRequest(f"input {name!r}: 'data' holds values that are not {datatype}")
    try:
        if datatype == "BYTES":
            strings = np.empty(count, object)
            strings[:] = [text.encode() for text in flat]
            return _reshape(strings, shape, name)
        if dtype.kind == "f":
            with np.errstate(over="ignore"):
                array = np.array(flat, dtype)
        else:  # numpy itself raises; to change its state would cost as much as the rest
            array = np.array(flat, dtype)
    except (ValueError, OverflowError):
        raise BadRequest(f"input {name!r}: 'data' holds values outside of {datatype}") from None
    return _reshape(array, shape, name)


def decode_base64(data: object, shape: tuple[int, ...], name: str) -> Array:
    """BYTES from a JSON list of base64 texts. Raises ``BadRequest``."""
    texts = from_json(data, "BYTES", shape, name)
    values = np.empty(texts.size, object)
    try:
        values[:] = [base64.b64decode(text, validate=True) for text in texts.ravel().tolist()]
    except binascii.Error as error:
        raise BadRequest(f"input {name!r}: not base64: {error}") from None
    return values.reshape(shape)


def _flat(data: object, name: str) -> list[Any]:
    if not isinstance(data, list):
        raise BadRequest(f"input {name!r}: 'data' must be a list")
    level: list[Any] = data
    while level and isinstance(level[0], list):
        if set(map(type, level)) != {list} or len(set(map(len, level))) != 1:
            raise BadRequest(f"input {name!r}: 'data' is ragged")
        level = list(chain.from_iterable(level))
    return level


def from_bytes(raw: memoryview, datatype: str, shape: tuple[int, ...], name: str) -> Array:
    """An array from raw little-endian values; BYTES as elements after 4-byte lengths. Raises ``BadRequest``."""
    count = math.prod(shape)
    if datatype == "BYTES":
        return _reshape(_strings(raw, count, name), shape, name)
    dtype = DTYPES[datatype]
    if len(raw) != count * dtype.itemsize:
        raise BadRequest(
            f"input {name!r}: shape {list(shape)} of {datatype} needs {count * dtype.itemsize} bytes, got {len(raw)}"
        )
    if dtype.kind == "b" and count and int(np.frombuffer(raw, "u1").max()) > 1:
        raise BadRequest(f"input {name!r}: BOOL bytes must be 0 or 1")
    return _reshape(np.frombuffer(raw, dtype), shape, name)


def _reshape(array: Array, shape: tuple[int, ...], name: str) -> Array:
    try:
        return array.reshape(shape)
    except (ValueError, OverflowError):  # empty, and the other dimensions too large for an index
        raise BadRequest(f"input {name!r}: bad shape {list(shape)}") from None


def _strings(raw: memoryview, count: int, name: str) -> Array:
    values: list[bytes] = []
    at = 0
    try:
        while at < len(raw):
            (length,) = struct.unpack_from("<I", raw, at)
            at += 4
            if length > len(raw) - at:
                raise BadRequest(f"input {name!r}: a BYTES element runs past the end")
            values.append(bytes(raw[at : at + length]))
            at += length
    except struct.error as error:
        raise BadRequest(f"input {name!r}: bad BYTES: {error}") from None
    if len(values) != count:
        raise BadRequest(f"input {name!r}: shape needs {count} BYTES elements, got {len(values)}")
    array = np.empty(count, object)
    array[:] = values
    return array


def to_bytes(array: Array) -> bytes:
    """The raw form of an output."""
    if array.dtype.kind != "O":
        return np.ascontiguousarray(array).tobytes()
    parts: list[bytes] = []
    for value in array.ravel():
        encoded = value if isinstance(value, bytes) else str(value).encode()
        parts += (struct.pack("<I", len(encoded)), encoded)
    return b"".join(parts)
