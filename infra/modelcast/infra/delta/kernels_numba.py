"""The same kernels, compiled: same arguments, same results, to the bit."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Unsigned = NDArray[Any]


def _compiled(function: Callable[..., Any]) -> Any:
    try:
        return njit(cache=True, nogil=True)(function)
    except RuntimeError:  # nowhere to keep the compiled code: compile in every process
        return njit(nogil=True)(function)


def _histogram(old: Unsigned, shift: Any, mask: Any, counts: NDArray[np.int64]) -> None:
    # Indices are unsigned: of signed ones numba checks whether they count from the end.
    # Two tables in turn: equal neighbours would wait for each other's store.
    other = np.zeros(256, np.int64)
    pairs = len(old) // 2
    for i in range(pairs):
        counts[(np.uint64(old[2 * i]) >> shift) & mask] += 1
        other[(np.uint64(old[2 * i + 1]) >> shift) & mask] += 1
    for i in range(2 * pairs, len(old)):
        counts[(np.uint64(old[i]) >> shift) & mask] += 1
    for i in range(256):
        counts[i] += other[i]


def _split(
    old: Unsigned,
    new: Unsigned,
    shift: Any,
    mask: Any,
    group_of: NDArray[np.uint8],
    cursor: NDArray[np.uint64],
    out: Unsigned,
) -> None:
    for i in range(len(old)):
        group = group_of[(np.uint64(old[i]) >> shift) & mask]
        at = cursor[group]
        out[at] = new[i] - old[i]
        cursor[group] = at + np.uint64(1)


def _join(
    old: Unsigned,
    grouped: Unsigned,
    shift: Any,
    mask: Any,
    group_of: NDArray[np.uint8],
    cursor: NDArray[np.uint64],
    ends: NDArray[np.uint64],
    up: Any,
    out: Unsigned,
) -> bool:
    for i in range(len(old)):
        group = group_of[(np.uint64(old[i]) >> shift) & mask]
        at = cursor[group]
        if at >= ends[group]:
            return False
        out[i] = old[i] + (grouped[at] << up)
        cursor[group] = at + np.uint64(1)
    return True


def _changes(values: Unsigned, gaps: NDArray[np.uint32], found: Unsigned) -> None:
    last, at = -1, 0
    for i in range(len(values)):
        if values[i]:
            gaps[at] = i - last - 1
            found[at] = values[i]
            last = i
            at += 1


_histogram_c, _split_c = _compiled(_histogram), _compiled(_split)
_join_c, _changes_c = _compiled(_join), _compiled(_changes)


def histogram(old: Unsigned, shift: int, mask: int) -> NDArray[np.int64]:
    """How many values have each of the 256 possible keys."""
    counts = np.zeros(256, np.int64)
    if mask:
        _histogram_c(_read_only(old), np.uint64(shift), np.uint64(mask), counts)
    else:
        counts[0] = len(old)
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
    else:
        key = np.uint64(shift), np.uint64(mask)
        _split_c(_read_only(old), _read_only(new), *key, group_of, starts[:-1].astype(np.uint64), out)


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
    # The totals are equal, so no group can be short unless another is long: one check finds both.
    key, ends = (np.uint64(shift), np.uint64(mask)), starts.astype(np.uint64)
    return bool(_join_c(_read_only(old), _read_only(grouped), *key, group_of, ends[:-1].copy(), ends[1:], scale, out))


def changes(values: Unsigned, count: int) -> tuple[NDArray[np.uint32], Unsigned]:
    """How many zeros stand before each of the ``count`` values that are not zero, and those values."""
    gaps, found = np.empty(count, np.uint32), np.empty(count, values.dtype)
    _changes_c(_read_only(values), gaps, found)
    return gaps, found


def _read_only(values: Unsigned) -> Unsigned:
    """Arrays over files can't be written, others can: told apart, each kernel would be compiled twice."""
    view = values.view()
    view.flags.writeable = False
    return view
