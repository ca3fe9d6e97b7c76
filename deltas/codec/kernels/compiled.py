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


# Indices are unsigned: of signed ones numba checks whether they count from the end.


def _histogram(old: Unsigned, shift: Any, mask: Any, counts: NDArray[np.int64]) -> None:
    # Four tables in turn: equal neighbours would wait for each other's store.
    others = np.zeros((3, 256), np.int64)
    quads = len(old) // 4
    for i in range(quads):
        counts[(np.uint64(old[4 * i]) >> shift) & mask] += 1
        others[0, (np.uint64(old[4 * i + 1]) >> shift) & mask] += 1
        others[1, (np.uint64(old[4 * i + 2]) >> shift) & mask] += 1
        others[2, (np.uint64(old[4 * i + 3]) >> shift) & mask] += 1
    for i in range(4 * quads, len(old)):
        counts[(np.uint64(old[i]) >> shift) & mask] += 1
    for i in range(256):
        counts[i] += others[0, i] + others[1, i] + others[2, i]


def _split(old: Unsigned, new: Unsigned, shift: Any, mask: Any, cursor: NDArray[np.uint64], out: Unsigned) -> None:
    for i in range(len(old)):
        key = (np.uint64(old[i]) >> shift) & mask
        at = cursor[key]
        out[at] = new[i] - old[i]
        cursor[key] = at + np.uint64(1)


def _join(
    old: Unsigned, ordered: Unsigned, shift: Any, mask: Any, cursor: NDArray[np.uint64], up: Any, out: Unsigned
) -> None:
    # A cursor that runs away is held inside by the minimum, which costs less than a branch; the caller compares
    # where all of them end.
    last = np.uint64(len(ordered) - 1)
    for i in range(len(old)):
        key = (np.uint64(old[i]) >> shift) & mask
        at = cursor[key]
        out[i] = old[i] + (ordered[min(at, last)] << up)
        cursor[key] = at + np.uint64(1)


def _changes(values: Unsigned, gaps: NDArray[np.uint32], found: Unsigned) -> None:
    # Written always, kept only if not zero: a branch would be guessed wrong every other time. One place to spare.
    last, at = np.uint64(0), np.uint64(0)
    for i in range(len(values)):
        here, value = np.uint64(i), values[i]
        gaps[at] = here - last
        found[at] = value
        if value != 0:
            last = here + np.uint64(1)
            at += np.uint64(1)


def _place(gaps: NDArray[np.uint32], found: Unsigned, out: Unsigned) -> bool:
    at, size = np.uint64(0), np.uint64(len(out))
    for i in range(len(gaps)):
        at += np.uint64(gaps[i])
        if at >= size:
            return False
        out[at] = found[i]
        at += np.uint64(1)
    return True


def _changed_rows(old: Unsigned, new: Unsigned, row: Any, rows: NDArray[np.bool_]) -> Any:
    total = np.uint64(0)
    for i in range(len(rows)):
        start = np.uint64(i) * row
        count = np.uint32(0)
        for j in range(min(row, np.uint64(len(old)) - start)):
            at = start + np.uint64(j)
            count += np.uint32(old[at] != new[at])
        rows[i] = count > 0
        total += np.uint64(count)
    return total


def _apart2(values: Unsigned, high: NDArray[np.uint8], low: Unsigned) -> None:
    for i in range(len(values)):
        value = values[i]
        high[i] = np.uint8(value >> np.uint16(7))
        low[i] = np.uint8(value << np.uint16(1)) | np.uint8(value >> np.uint16(15))


def _apart4(values: Unsigned, high: NDArray[np.uint8], middle: NDArray[np.uint8], low: Unsigned) -> None:
    for i in range(len(values)):
        value = values[i]
        high[i] = np.uint8(value >> np.uint32(23))
        middle[i] = np.uint8(value >> np.uint32(15))
        low[i] = np.uint16(value << np.uint32(1)) | np.uint16(value >> np.uint32(31))


def _together2(high: NDArray[np.uint8], low: Unsigned, out: Unsigned) -> None:
    for i in range(len(out)):
        turned = (np.uint16(high[i]) << np.uint16(8)) | np.uint16(low[i])
        out[i] = (turned >> np.uint16(1)) | (turned << np.uint16(15))


def _together4(high: NDArray[np.uint8], middle: NDArray[np.uint8], low: Unsigned, out: Unsigned) -> None:
    for i in range(len(out)):
        upper = (np.uint32(high[i]) << np.uint32(24)) | (np.uint32(middle[i]) << np.uint32(16))
        turned = upper | np.uint32(low[i])
        out[i] = (turned >> np.uint32(1)) | (turned << np.uint32(31))


_histogram_c, _split_c, _join_c = _compiled(_histogram), _compiled(_split), _compiled(_join)
_changes_c, _place_c, _changed_rows_c = _compiled(_changes), _compiled(_place), _compiled(_changed_rows)

_apart2_c, _apart4_c = _compiled(_apart2), _compiled(_apart4)
_together2_c, _together4_c = _compiled(_together2), _compiled(_together4)


def histogram(old: Unsigned, shift: int, mask: int) -> NDArray[np.int64]:
    """How many values have each of the 256 possible keys."""
    counts = np.zeros(256, np.int64)
    if mask:
        _histogram_c(_read_only(old), np.uint64(shift), np.uint64(mask), counts)
    else:
        counts[0] = len(old)
    return counts


def split(old: Unsigned, new: Unsigned, shift: int, mask: int, counts: NDArray[np.int64], out: Unsigned) -> None:
    """Write ``new - old`` into ``out``, ordered by the old value's key, then by position."""
    if np.count_nonzero(counts) < 2:
        np.subtract(new, old, out=out)
    else:
        _split_c(_read_only(old), _read_only(new), np.uint64(shift), np.uint64(mask), _starts(counts), out)


def join(
    old: Unsigned, ordered: Unsigned, shift: int, mask: int, counts: NDArray[np.int64], up: int, out: Unsigned
) -> bool:
    """Undo ``split``: ``out = old + (difference << up)``. False if the old values have other keys than ``counts``."""
    if not mask:
        np.left_shift(ordered, old.dtype.type(up), out=out)
        np.add(out, old, out=out)
        return bool(counts[0] == len(old))
    cursor = _starts(counts)
    if len(old):
        key = np.uint64(shift), np.uint64(mask)
        _join_c(_read_only(old), _read_only(ordered), *key, cursor, old.dtype.type(up), out)
    return bool((cursor == np.cumsum(counts).astype(np.uint64)).all())


def changes(values: Unsigned, count: int) -> tuple[NDArray[np.uint32], Unsigned]:
    """How many zeros stand before each of the ``count`` values that are not zero, and those values."""
    gaps, found = np.empty(count + 1, np.uint32), np.empty(count + 1, values.dtype)
    _changes_c(_read_only(values), gaps, found)
    return gaps[:count], found[:count]


def place(gaps: NDArray[np.uint32], found: Unsigned, out: Unsigned) -> bool:
    """Undo ``changes`` into ``out``, which is zero. False if they lie past its end."""
    return bool(_place_c(_read_only(gaps), _read_only(found), out))


def changed_rows(old: Unsigned, new: Unsigned, row: int) -> tuple[NDArray[np.bool_], int]:
    """Which rows of ``row`` values differ (the last may be short), and how many values do."""
    rows = np.empty(-(-len(old) // row), np.bool_)
    return rows, int(_changed_rows_c(_read_only(old), _read_only(new), np.uint64(row), rows))


def apart(values: Unsigned, high: NDArray[np.uint8], middle: NDArray[np.uint8], low: Unsigned) -> None:
    """Rotate each value left by one; its top byte, of four bytes the next one, and the rest go to a plane each."""
    if values.dtype.itemsize == 2:
        _apart2_c(_read_only(values), high, low)
    else:
        _apart4_c(_read_only(values), high, middle, low)


def together(high: NDArray[np.uint8], middle: NDArray[np.uint8], low: Unsigned, out: Unsigned) -> None:
    """Undo ``apart``."""
    if out.dtype.itemsize == 2:
        _together2_c(_read_only(high), _read_only(low), out)
    else:
        _together4_c(_read_only(high), _read_only(middle), _read_only(low), out)


def _starts(counts: NDArray[np.int64]) -> NDArray[np.uint64]:
    return (np.cumsum(counts) - counts).astype(np.uint64)


def _read_only(values: Unsigned) -> Unsigned:
    """Arrays over files can't be written, others can: told apart, each kernel would be compiled twice."""
    view = values.view()
    view.flags.writeable = False
    return view
