"""Differences of one block, grouped by the exponent that the old value has: the reader has it too, so it is free.

A difference depends strongly on the old value's exponent (an optimiser's step is of one size, the spacing of floats is
not), so each group is close to one distribution, and pcodec comes close to its entropy.
"""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelcast.infra.delta import pco, zstd
from modelcast.infra.delta.dtypes import DType
from modelcast.infra.delta.errors import BadDelta
from modelcast.infra.delta.kernels import Kernels

GROUP_VALUES_MIN = 4096
ROW = 64
SPARSE_BELOW = 0.3

_FIXED = struct.Struct("<BBHII")  # flags, up, keys, kept values, size of the row bitmap
_GROUP = struct.Struct("<BI")  # kind, changed
_STREAM = struct.Struct("<HI")  # metadata, page
_ROWS = 1
_NOTHING, _DENSE, _SPARSE, _PLAIN = range(4)


def groups_of(counts: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Join neighbouring keys until each group is worth its own statistics.

    Returns:
        the group of each key, and where each group starts (one more than there are groups).
    """
    group_of = np.zeros(256, np.uint8)
    starts, size, total = [0], 0, 0
    last = int(counts.sum())
    for key in range(256):
        group_of[key] = len(starts) - 1
        size += int(counts[key])
        total += int(counts[key])
        if size >= GROUP_VALUES_MIN and last - total >= GROUP_VALUES_MIN:
            starts.append(total)
            size = 0
    starts.append(last)
    return group_of, np.array(starts, np.int64)


def encode(old: NDArray[Any], new: NDArray[Any], dtype: DType, kernels: Kernels) -> bytes:
    """The payload that makes ``new`` of ``old``; both are unsigned, of one length, and differ."""
    rows = _clustered_rows(old, new)
    bitmap = b""
    if rows is not None:
        old, new = _take(old, rows), _take(new, rows)
        bitmap = zstd.compress(np.packbits(rows).tobytes(), level=19)
    counts = kernels.histogram(old, dtype.shift, dtype.mask)
    group_of, starts = groups_of(counts)
    grouped = np.empty_like(old)
    kernels.split(old, new, dtype.shift, dtype.mask, group_of, starts, grouped)
    up = _common_zeros(grouped)
    if up:
        # Values kept in a wider type than they were computed in: the low bits never change.
        grouped = (grouped.view(dtype.signed) >> up).view(dtype.unsigned)
    keys = np.flatnonzero(counts)
    parts = [
        _FIXED.pack(_ROWS if rows is not None else 0, up, len(keys), len(old), len(bitmap)),
        bitmap,
        keys.astype(np.uint8).tobytes(),
        counts[keys].astype("<u4").tobytes(),
    ]
    for start, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        parts += _group(grouped[start:end], dtype, kernels)
    return b"".join(parts)


def _group(values: NDArray[Any], dtype: DType, kernels: Kernels) -> list[bytes]:
    changed = int(np.count_nonzero(values))
    if not changed:
        return [_GROUP.pack(_NOTHING, 0)]
    if changed < SPARSE_BELOW * len(values):
        gaps, differences = kernels.changes(values, changed)
        coded = [_GROUP.pack(_SPARSE, changed), *_streamed(gaps), *_streamed(differences.view(dtype.signed))]
    else:
        coded = [_GROUP.pack(_DENSE, changed), *_streamed(values.view(dtype.signed))]
    if sum(map(len, coded)) >= _GROUP.size + values.nbytes:
        return [_GROUP.pack(_PLAIN, changed), values.tobytes()]
    return coded


def _streamed(values: NDArray[Any]) -> tuple[bytes, bytes, bytes]:
    meta, page = pco.compress(values)
    return _STREAM.pack(len(meta), len(page)), meta, page


def decode(payload: memoryview, old: NDArray[Any], dtype: DType, kernels: Kernels) -> NDArray[Any]:
    """Undo ``encode``.

    Raises:
        BadDelta: the payload does not fit the old values.
    """
    read = _Reader(payload)
    flags, up, key_count, kept, bitmap_size = _FIXED.unpack(read.take(_FIXED.size))
    if flags not in {0, _ROWS} or up >= 8 * dtype.width or key_count > 256:
        raise BadDelta("a block of differences has an unknown layout")
    bitmap = read.take(bitmap_size)
    if not flags:
        if bitmap_size or kept != len(old):
            raise BadDelta("a block of differences has another length than its frame")
        return _decode_values(read, old, dtype, kernels, up, key_count)
    row_count = -(-len(old) // ROW)
    packed = np.frombuffer(zstd.decompress(bitmap, -(-row_count // 8)), np.uint8)
    rows = np.unpackbits(packed, count=row_count).view(bool)
    few = _take(old, rows)
    if kept != len(few):
        raise BadDelta("a block of differences has another length than its rows")
    new = old.copy()
    _put(new, rows, _decode_values(read, few, dtype, kernels, up, key_count))
    return new


def kept_values(payload: memoryview) -> int:
    """How many values a payload claims to hold: what its decoding takes memory for."""
    return int(_FIXED.unpack_from(payload)[3]) if len(payload) >= _FIXED.size else 0


def _decode_values(
    read: "_Reader", old: NDArray[Any], dtype: DType, kernels: Kernels, up: int, key_count: int
) -> NDArray[Any]:
    keys = np.frombuffer(read.take(key_count), np.uint8)
    counts = np.zeros(256, np.int64)
    counts[keys] = np.frombuffer(read.take(4 * key_count), "<u4")
    if int(counts.sum()) != len(old):
        raise BadDelta("a block of differences counts other values than it has")
    group_of, starts = groups_of(counts)
    grouped: NDArray[Any] = np.empty(len(old), dtype.signed)
    for start, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        _decode_group(read, grouped[start:end], dtype)
    if read.left:
        raise BadDelta("a block of differences is longer than it says")
    new = np.empty_like(old)
    fits = kernels.join(old, grouped.view(dtype.unsigned), dtype.shift, dtype.mask, group_of, starts, up, new)
    if not fits:
        raise BadDelta("a block of differences was made for other old values")
    return new


def _decode_group(read: "_Reader", out: NDArray[Any], dtype: DType) -> None:
    kind, changed = _GROUP.unpack(read.take(_GROUP.size))
    if changed > len(out):
        raise BadDelta("a group changes more values than it has")
    if kind == _NOTHING:
        out[:] = 0
    elif kind == _DENSE:
        _unstream(read, out)
    elif kind == _SPARSE:
        gaps, values = np.empty(changed, "<u4"), np.empty(changed, dtype.signed)
        _unstream(read, gaps)
        _unstream(read, values)
        positions = np.cumsum(gaps.astype(np.int64) + 1) - 1
        if changed and positions[-1] >= len(out):
            raise BadDelta("a group changes values past its end")
        out[:] = 0
        out[positions] = values
    elif kind == _PLAIN:
        out[:] = np.frombuffer(read.take(out.nbytes), dtype.signed)
    else:
        raise BadDelta("a group of values has an unknown kind")


def _unstream(read: "_Reader", out: NDArray[Any]) -> None:
    meta_size, page_size = _STREAM.unpack(read.take(_STREAM.size))
    pco.decompress(bytes(read.take(meta_size)), bytes(read.take(page_size)), out)


class _Reader:
    """Takes from the front, never past the end."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, size: int) -> memoryview:
        if size > self.left:
            raise BadDelta("a block of differences is cut off")
        self._at += size
        return self._data[self._at - size : self._at]


def _clustered_rows(old: NDArray[Any], new: NDArray[Any]) -> NDArray[np.bool_] | None:
    """The rows of 64 values that changed, if fewer did than scattered changes would touch; else None."""
    changed = old != new
    whole = len(old) // ROW
    per_row = np.logical_or.reduce(changed[: whole * ROW].view(np.uint64).reshape(whole, 8), axis=1)
    rows = np.append(per_row, changed[whole * ROW :].any()) if len(old) % ROW else per_row
    share = np.count_nonzero(changed) / len(old)
    return rows if np.count_nonzero(rows) < 0.9 * len(rows) * (1 - (1 - share) ** ROW) else None


def _take(values: NDArray[Any], rows: NDArray[np.bool_]) -> NDArray[Any]:
    whole = len(values) // ROW
    found = values[: whole * ROW].reshape(whole, ROW)[rows[:whole]].reshape(-1)
    return np.concatenate([found, values[whole * ROW :]]) if len(rows) > whole and rows[whole] else found


def _put(values: NDArray[Any], rows: NDArray[np.bool_], few: NDArray[Any]) -> None:
    whole = len(values) // ROW
    count = int(np.count_nonzero(rows[:whole])) * ROW
    values[: whole * ROW].reshape(whole, ROW)[rows[:whole]] = few[:count].reshape(-1, ROW)
    if len(rows) > whole and rows[whole]:
        values[whole * ROW :] = few[count:]


def _common_zeros(values: NDArray[Any]) -> int:
    """How many low bits are zero in every value."""
    union = int(np.bitwise_or.reduce(values))
    return (union & -union).bit_length() - 1 if union else 0
