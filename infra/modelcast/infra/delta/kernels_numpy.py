"""Grouping by the old value's exponent with numpy alone.

Sorting in blocks of 64 Ki keys stays in the cache: 1.6 ns a value instead of 5.7 over a whole tensor.
"""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Unsigned = NDArray[Any]
BLOCK = 1 << 16


def histogram(old: Unsigned, shift: int, mask: int) -> NDArray[np.int64]:
    """How many values have each of the 256 possible keys."""
    counts = np.zeros(256, np.int64)
    if not mask:
        counts[0] = len(old)
        return counts
    for at in range(0, len(old), BLOCK):
        counts += np.bincount(_keys(old[at : at + BLOCK], shift, mask), minlength=256)
    return counts


def split(
    old: Unsigned,
    new: Unsigned,
    shift: int,
    mask: int,
    group_of: NDArray[np.uint8],
    starts: NDArray[np.int64],
    out: Unsigned,
) -> None:
    """Write ``new - old`` into ``out``, group after group, in order within each."""
    if len(starts) == 2:
        np.subtract(new, old, out=out)
        return
    ordering = _Ordering(old.dtype, shift, mask, group_of, len(starts) - 1)
    cursor = starts[:-1].tolist()
    for at in range(0, len(old), BLOCK):
        part = old[at : at + BLOCK]
        order, borders = ordering.of(part)
        ordered = (new[at : at + BLOCK] - part).take(order)
        for group, (start, end) in enumerate(pairwise(borders)):
            to = cursor[group]
            cursor[group] = to + end - start
            out[to : cursor[group]] = ordered[start:end]


def join(
    old: Unsigned,
    grouped: Unsigned,
    shift: int,
    mask: int,
    group_of: NDArray[np.uint8],
    starts: NDArray[np.int64],
    up: int,
    out: Unsigned,
) -> bool:
    """Undo ``split``: ``out = old + (difference << up)``. False if the groups do not fit the old values."""
    scale = old.dtype.type(up)
    if len(starts) == 2:
        np.left_shift(grouped, scale, out=out)
        np.add(out, old, out=out)
        return True
    ordering = _Ordering(old.dtype, shift, mask, group_of, len(starts) - 1)
    cursor, ends = starts[:-1].tolist(), starts[1:].tolist()
    for at in range(0, len(old), BLOCK):
        part = old[at : at + BLOCK]
        order, borders = ordering.of(part)
        ordered = np.empty_like(part)
        for group, (start, end) in enumerate(pairwise(borders)):
            to = cursor[group]
            cursor[group] = to + end - start
            if cursor[group] > ends[group]:
                return False
            ordered[start:end] = grouped[to : cursor[group]]
        if up:
            ordered <<= scale
        target = out[at : at + BLOCK]
        target[order] = ordered
        target += part
    return bool(cursor == ends)


def changes(values: Unsigned, count: int) -> tuple[NDArray[np.uint32], Unsigned]:
    """How many zeros stand before each of the ``count`` values that are not zero, and those values."""
    positions = np.flatnonzero(values)
    assert len(positions) == count
    return (np.diff(positions, prepend=-1) - 1).astype(np.uint32), values[positions]


class _Ordering:
    """Sorts a block's values by group, stably."""

    def __init__(self, dtype: "np.dtype[Any]", shift: int, mask: int, group_of: NDArray[np.uint8], groups: int) -> None:
        self._shift, self._mask, self._group_of = shift, mask, group_of
        self._groups = np.arange(groups + 1)
        # Of short values the group is looked up at once, without their key.
        short = dtype.itemsize <= 2
        self._table = group_of[_keys(np.arange(256**dtype.itemsize, dtype=dtype), shift, mask)] if short else None

    def of(self, values: Unsigned) -> tuple[NDArray[np.int64], list[int]]:
        """The order, and where each group starts in it (and, last, where all end)."""
        if self._table is not None:
            groups = self._table.take(values)
        else:
            groups = self._group_of.take(_keys(values, self._shift, self._mask))
        order = np.argsort(groups, kind="stable")
        return order, np.searchsorted(groups, self._groups, sorter=order).tolist()


def _keys(values: Unsigned, shift: int, mask: int) -> NDArray[np.uint8]:
    kind = values.dtype.type
    keys: NDArray[np.uint8] = ((values >> kind(shift)) & kind(mask)).astype(np.uint8)
    return keys
