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


def split(old: Unsigned, new: Unsigned, shift: int, mask: int, counts: NDArray[np.int64], out: Unsigned) -> None:
    """Write ``new - old`` into ``out``, ordered by the old value's key, then by position."""
    present = np.flatnonzero(counts)
    if len(present) < 2:
        np.subtract(new, old, out=out)
        return
    cursor = (np.cumsum(counts) - counts)[present].tolist()
    for at in range(0, len(old), BLOCK):
        part = old[at : at + BLOCK]
        order, borders = _order(part, shift, mask, present)
        ordered = (new[at : at + BLOCK] - part).take(order)
        for i, (start, end) in enumerate(pairwise(borders)):
            to = cursor[i]
            cursor[i] = to + end - start
            out[to : cursor[i]] = ordered[start:end]


def join(
    old: Unsigned, ordered: Unsigned, shift: int, mask: int, counts: NDArray[np.int64], up: int, out: Unsigned
) -> bool:
    """Undo ``split``: ``out = old + (difference << up)``. False if the old values have other keys than ``counts``."""
    scale = old.dtype.type(up)
    present = np.flatnonzero(counts)
    if not mask:
        np.left_shift(ordered, scale, out=out)
        np.add(out, old, out=out)
        return bool(counts[0] == len(old))
    ends = np.cumsum(counts)[present]
    cursor, ends = (ends - counts[present]).tolist(), ends.tolist()
    for at in range(0, len(old), BLOCK):
        part = old[at : at + BLOCK]
        order, borders = _order(part, shift, mask, present)
        if not borders or borders[0] or borders[-1] != len(part):
            return False
        mixed = np.empty_like(part)
        for i, (start, end) in enumerate(pairwise(borders)):
            to = cursor[i]
            cursor[i] = to + end - start
            if cursor[i] > ends[i]:
                return False
            mixed[start:end] = ordered[to : cursor[i]]
        if up:
            mixed <<= scale
        target = out[at : at + BLOCK]
        target[order] = mixed
        target += part
    return bool(cursor == ends)


def changes(values: Unsigned, count: int) -> tuple[NDArray[np.uint32], Unsigned]:
    """How many zeros stand before each of the ``count`` values that are not zero, and those values."""
    positions = np.flatnonzero(values)
    assert len(positions) == count
    return (np.diff(positions, prepend=-1) - 1).astype(np.uint32), values[positions]


def place(gaps: NDArray[np.uint32], found: Unsigned, out: Unsigned) -> bool:
    """Undo ``changes`` into ``out``, which is zero. False if they lie past its end."""
    positions = np.cumsum(gaps, dtype=np.int64)
    positions += np.arange(len(gaps))
    if len(positions) and positions[-1] >= len(out):
        return False
    out[positions] = found
    return True


def changed_rows(old: Unsigned, new: Unsigned, row: int) -> tuple[NDArray[np.bool_], int]:
    """Which rows of ``row`` values differ (the last may be short), and how many values do."""
    changed = old != new
    whole = len(old) // row
    rows = changed[: whole * row].reshape(whole, row)
    found = np.logical_or.reduce(rows.view(np.uint64), axis=1) if row % 8 == 0 else rows.any(axis=1)
    if len(old) % row:
        found = np.append(found, changed[whole * row :].any())
    return found, int(np.count_nonzero(changed))


def apart(values: Unsigned, high: NDArray[np.uint8], middle: NDArray[np.uint8], low: Unsigned) -> None:
    """Rotate each value left by one; its top byte, of four bytes the next one, and the rest go to a plane each."""
    width = values.dtype.itemsize
    kind = values.dtype.type
    for at in range(0, len(values), BLOCK):
        part = values[at : at + BLOCK]
        turned = (part << kind(1)) | (part >> kind(8 * width - 1))
        planes = turned.view(np.uint8).reshape(len(part), width)
        high[at : at + BLOCK] = planes[:, -1]
        if width == 4:
            middle[at : at + BLOCK] = planes[:, 2]
        low[at : at + BLOCK] = turned.view(low.dtype)[::2]


def together(high: NDArray[np.uint8], middle: NDArray[np.uint8], low: Unsigned, out: Unsigned) -> None:
    """Undo ``apart``."""
    width = out.dtype.itemsize
    kind = out.dtype.type
    for at in range(0, len(out), BLOCK):
        turned = np.empty(min(BLOCK, len(out) - at), out.dtype)
        planes = turned.view(np.uint8).reshape(len(turned), width)
        planes[:, -1] = high[at : at + BLOCK]
        if width == 4:
            planes[:, 2] = middle[at : at + BLOCK]
        turned.view(low.dtype)[::2] = low[at : at + BLOCK]
        np.bitwise_or(turned >> kind(1), turned << kind(8 * width - 1), out=out[at : at + BLOCK])


def _order(values: Unsigned, shift: int, mask: int, present: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[int]]:
    """The values' order by key, stable; where each key that occurs starts in it and, last, where they end."""
    keys = _keys(values, shift, mask)
    order = np.argsort(keys, kind="stable")
    borders = np.searchsorted(keys, present.astype(np.uint8), sorter=order).tolist()
    return order, [*borders, int(np.searchsorted(keys, present[-1:].astype(np.uint8), "right", sorter=order)[0])]


def _keys(values: Unsigned, shift: int, mask: int) -> NDArray[np.uint8]:
    kind = values.dtype.type
    keys: NDArray[np.uint8] = ((values >> kind(shift)) & kind(mask)).astype(np.uint8)
    return keys
