"""Differences of one block, grouped by the exponent that the old value has: the reader has it too, so it is free.

A difference depends strongly on the old value's exponent (an optimiser's step is of one size, the spacing of floats is
not), so each group is close to one distribution, and pcodec comes close to its entropy.
"""

import struct
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelcast.deltas.codec.errors import BadDelta
from modelcast.deltas.codec.kernels import pco, zstd
from modelcast.deltas.codec.kernels.selection import Kernels
from modelcast.deltas.codec.layouts.dtypes import DType

GROUP_VALUES_MIN = 4096
ROW = 64  # values of a row where the tensor's own are not known
ROW_MAX = 1 << 20
SPARSE_BELOW = 0.3

_FIXED = struct.Struct("<BBHIII")  # up, zero, keys, kept values, values of a row, size of the row bitmap
_GROUP = struct.Struct("<BI")  # kind, changed
_STREAM = struct.Struct("<HI")  # metadata, page
_NOTHING, _DENSE, _SPARSE, _PLAIN = range(4)


def group_borders(counts: NDArray[np.int64]) -> list[int]:
    """Join neighbouring keys until each group is worth its own statistics.

    Returns:
        where each group starts (one more than there are groups).
    """
    borders, size, total = [0], 0, 0
    last = int(counts.sum())
    for count in counts.tolist():
        size += count
        total += count
        if size >= GROUP_VALUES_MIN and last - total >= GROUP_VALUES_MIN:
            borders.append(total)
            size = 0
    return [*borders, last]


def encode(old: NDArray[Any], new: NDArray[Any], dtype: DType, kernels: Kernels, row: int = 0) -> bytes:
    """The payload that makes ``new`` of ``old``; both are unsigned, of one length, and differ.

    Args:
        row: how many values a row of the tensors has, if they change by rows; 0: not known.
    """
    row, rows = _clustered_rows(old, new, kernels, row)
    bitmap = b""
    if rows is not None:
        old, new = _take(old, rows, row), _take(new, rows, row)
        bitmap = zstd.compress(np.packbits(rows).tobytes(), level=19)
    counts = kernels.histogram(old, dtype.shift, dtype.mask)
    ordered = np.empty_like(old)
    kernels.split(old, new, dtype.shift, dtype.mask, counts, ordered)
    up = _common_zeros(ordered)
    if up:
        # Values kept in a wider type than they were computed in: the low bits never change.
        ordered = (ordered.view(dtype.signed) >> up).view(dtype.unsigned)
    keys = np.flatnonzero(counts)
    parts = [
        _FIXED.pack(up, 0, len(keys), len(old), row, len(bitmap)),
        bitmap,
        keys.astype(np.uint8).tobytes(),
        counts[keys].astype("<u4").tobytes(),
    ]
    for start, end in pairwise(group_borders(counts)):
        parts += _group(ordered[start:end], dtype, kernels)
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
    up, zero, key_count, kept, row, bitmap_size = _FIXED.unpack(read.take(_FIXED.size))
    if zero or up >= 8 * dtype.width or key_count > 256 or row > ROW_MAX:
        raise BadDelta("a block of differences has an unknown layout")
    bitmap = read.take(bitmap_size)
    if not row:
        if bitmap_size or kept != len(old):
            raise BadDelta("a block of differences has another length than its frame")
        return _decode_values(read, old, dtype, kernels, up, key_count)
    row_count = -(-len(old) // row)
    packed = np.frombuffer(zstd.decompress(bitmap, -(-row_count // 8)), np.uint8)
    rows = np.unpackbits(packed, count=row_count).view(bool)
    few = _take(old, rows, row)
    if kept != len(few):
        raise BadDelta("a block of differences has another length than its rows")
    new = old.copy()
    _put(new, rows, row, _decode_values(read, few, dtype, kernels, up, key_count))
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
    ordered: NDArray[Any] = np.empty(len(old), dtype.signed)
    for start, end in pairwise(group_borders(counts)):
        _decode_group(read, ordered[start:end], dtype, kernels)
    if read.left:
        raise BadDelta("a block of differences is longer than its header declares")
    new = np.empty_like(old)
    if not kernels.join(old, ordered.view(dtype.unsigned), dtype.shift, dtype.mask, counts, up, new):
        raise BadDelta("a block of differences was made for other old values")
    return new


def _decode_group(read: "_Reader", out: NDArray[Any], dtype: DType, kernels: Kernels) -> None:
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
        out[:] = 0
        if not kernels.place(gaps, values.view(dtype.unsigned), out.view(dtype.unsigned)):
            raise BadDelta("a group changes values past its end")
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


def _clustered_rows(
    old: NDArray[Any], new: NDArray[Any], kernels: Kernels, row: int
) -> tuple[int, NDArray[np.bool_] | None]:
    """The rows that changed and their length, if fewer did than scattered changes would touch; else 0 and None.

    Of the tensors' own rows and rows of 64 values, those that leave out more.
    """
    found: tuple[int, NDArray[np.bool_] | None] = (0, None)
    least = float(len(old))
    for length in dict.fromkeys((row, ROW)):
        if not 1 < length <= min(ROW_MAX, len(old)):
            continue
        rows, changed = kernels.changed_rows(old, new, length)
        share, touched = changed / len(old), int(np.count_nonzero(rows))
        # Own rows cost fewer bits to tell: short ones must leave out more.
        if touched < 0.9 * len(rows) * (1 - (1 - share) ** length) and touched * length < 0.97 * least:
            found, least = (length, rows), touched * length
    return found


def _take(values: NDArray[Any], rows: NDArray[np.bool_], row: int) -> NDArray[Any]:
    whole = len(values) // row
    found = values[: whole * row].reshape(whole, row)[rows[:whole]].reshape(-1)
    return np.concatenate([found, values[whole * row :]]) if len(rows) > whole and rows[whole] else found


def _put(values: NDArray[Any], rows: NDArray[np.bool_], row: int, few: NDArray[Any]) -> None:
    whole = len(values) // row
    count = int(np.count_nonzero(rows[:whole])) * row
    values[: whole * row].reshape(whole, row)[rows[:whole]] = few[:count].reshape(-1, row)
    if len(rows) > whole and rows[whole]:
        values[whole * row :] = few[count:]


def _common_zeros(values: NDArray[Any]) -> int:
    """How many low bits are zero in every value."""
    union = int(np.bitwise_or.reduce(values))
    return (union & -union).bit_length() - 1 if union else 0
