"""Floats without a base: exponents repeat, the rest is noise.

Rotating left by one brings the exponent to the top byte; that plane goes through fast zstd, the rest stays as it is
(what ZipNN publishes).
"""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelcast.infra.delta import zstd
from modelcast.infra.delta.dtypes import DType
from modelcast.infra.delta.errors import BadDelta

_FIXED = struct.Struct("<I")
_BLOCK = 1 << 16  # values that stay in the cache from one plane to the next


def encode(values: NDArray[Any], dtype: DType) -> bytes:
    """The payload of unsigned values of width 2 or 4."""
    count, bits = len(values), 8 * dtype.width
    kind = values.dtype.type
    high = np.empty(count, np.uint8)
    middle = np.empty(count if dtype.width == 4 else 0, np.uint8)
    low = np.empty(count, np.uint8 if dtype.width == 2 else "<u2")
    for at in range(0, count, _BLOCK):
        part = values[at : at + _BLOCK]
        turned = (part << kind(1)) | (part >> kind(bits - 1))
        planes = turned.view(np.uint8).reshape(len(part), dtype.width)
        high[at : at + _BLOCK] = planes[:, -1]
        if dtype.width == 4:
            middle[at : at + _BLOCK] = planes[:, 2]
        low[at : at + _BLOCK] = turned.view(low.dtype)[::2]
    packed = zstd.compress_order0(high.data)
    return b"".join([_FIXED.pack(len(packed)), packed, middle.data, low.data])


def decode(payload: memoryview, count: int, dtype: DType) -> NDArray[Any]:
    """Undo ``encode``.

    Raises:
        BadDelta: the payload does not hold ``count`` values.
    """
    if len(payload) < _FIXED.size:
        raise BadDelta("a block of planes is cut off")
    (packed_size,) = _FIXED.unpack_from(payload)
    rest = payload[_FIXED.size + packed_size :]
    if len(rest) != count * (dtype.width - 1) or packed_size > len(payload):
        raise BadDelta("a block of planes has another length than its frame")
    high = np.frombuffer(zstd.decompress(payload[_FIXED.size : _FIXED.size + packed_size], count), np.uint8)
    bits = 8 * dtype.width
    out: NDArray[Any] = np.empty(count, dtype.unsigned)
    kind = out.dtype.type
    middle_size = count if dtype.width == 4 else 0
    middle = np.frombuffer(rest[:middle_size], np.uint8)
    low = np.frombuffer(rest[middle_size:], np.uint8 if dtype.width == 2 else "<u2")
    for at in range(0, count, _BLOCK):
        turned = np.empty(min(_BLOCK, count - at), dtype.unsigned)
        planes = turned.view(np.uint8).reshape(len(turned), dtype.width)
        planes[:, -1] = high[at : at + _BLOCK]
        if dtype.width == 4:
            planes[:, 2] = middle[at : at + _BLOCK]
        turned.view(low.dtype)[::2] = low[at : at + _BLOCK]
        np.bitwise_or(turned >> kind(1), turned << kind(bits - 1), out=out[at : at + _BLOCK])
    return out
