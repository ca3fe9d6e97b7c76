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


def _histogram(old: Unsigned, shift: int, mask: int, counts: NDArray[np.int64]) -> None:
    # Two tables in turn: equal neighbours would wait for each other's store.
    other = np.zeros(256, np.int64)
    pairs = len(old) // 2
    for i in range(pairs):
        counts[(int(old[2 * i]) >> shift) & mask] += 1
        other[(int(old[2 * i + 1]) >> shift) & mask] += 1
    for i in range(2 * pairs, len(old)):
        counts[(int(old[i]) >> shift) & mask] += 1
    for i in range(256):
        counts[i] += other[i]


def _split(
    old: Unsigned,
    new: Unsigned,
    shift: int,
    mask: int,
    group_of: NDArray[np.uint8],
    cursor: NDArray[np.int64],
    out: Unsigned,
) -> None:
    for i in range(len(old)):
        group = group_of[(int(old[i]) >> shift) & mask]
        out[cursor[group]] = new[i] - old[i]
        cursor[group] += 1


def _join(
    old: Unsigned,
    grouped: Unsigned,
    shift: int,
    mask: int,
    group_of: NDArray[np.uint8],
    cursor: NDArray[np.int64],
    ends: NDArray[np.int64],
    up: Any,
    out: Unsigned,
) -> bool:
    for i in range(len(old)):
        group = group_of[(int(old[i]) >> shift) & mask]
        at = cursor[group]
        if at >= ends[group]:
            return False
        out[i] = old[i] + (grouped[at] << up)
        cursor[group] = at + 1
    return True


_histogram_c, _split_c, _join_c = _compiled(_histogram), _compiled(_split), _compiled(_join)


def histogram(old: Unsigned, shift: int, mask: int) -> NDArray[np.int64]:
    """How many values have each of the 256 possible keys."""
    counts = np.zeros(256, np.int64)
    if mask:
        _histogram_c(old, shift, mask, counts)
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
        _split_c(old, new, shift, mask, group_of, starts[:-1].copy(), out)


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
    return bool(_join_c(old, grouped, shift, mask, group_of, starts[:-1].copy(), starts[1:], scale, out))
