"""Floats without a base: exponents repeat, the rest is noise.

Rotating left by one brings the exponent to the top byte; that plane goes through fast zstd, the rest stays as it is
(what ZipNN publishes).
"""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelcast.deltas.codec.errors import BadDelta
from modelcast.deltas.codec.kernels import zstd
from modelcast.deltas.codec.kernels.selection import Kernels
from modelcast.deltas.codec.layouts.dtypes import DType

_FIXED = struct.Struct("<I")


def encode(values: NDArray[Any], dtype: DType, kernels: Kernels) -> bytes:
    """The payload of unsigned values of width 2 or 4."""
    high, middle, low = _empty_planes(len(values), dtype)
    kernels.apart(values, high, middle, low)
    packed = zstd.compress_order0(high.data)
    return b"".join([_FIXED.pack(len(packed)), packed, middle.data, low.data])


def decode(payload: memoryview, count: int, dtype: DType, kernels: Kernels) -> NDArray[Any]:
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
    middle_size = count if dtype.width == 4 else 0
    middle = np.frombuffer(rest[:middle_size], np.uint8)
    low = np.frombuffer(rest[middle_size:], _low(dtype))
    out: NDArray[Any] = np.empty(count, dtype.unsigned)
    kernels.together(high, middle, low if low.flags.aligned else low.copy(), out)
    return out


def _empty_planes(count: int, dtype: DType) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[Any]]:
    middle = np.empty(count if dtype.width == 4 else 0, np.uint8)
    return np.empty(count, np.uint8), middle, np.empty(count, _low(dtype))


def _low(dtype: DType) -> str:
    return "<u1" if dtype.width == 2 else "<u2"
