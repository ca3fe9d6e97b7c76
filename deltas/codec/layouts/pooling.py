"""What changes by rows, as embedding tables do: found from a sample, and joined to blocks that are worth coding.

Of such blocks little changes, and what does must be enough for good statistics.
"""

from dataclasses import replace

import numpy as np

from modelcast.deltas.codec.cancelling import CancelCheck, never_cancelled
from modelcast.deltas.codec.container import FRAME_BYTES_MAX, Segment
from modelcast.deltas.codec.layouts.tensors import Tensor
from modelcast.deltas.codec.work import SEGMENTS_A_BLOCK, Work

ROW = 64  # values, where tensors have no rows of their own
ROWS_OF_A_TENSOR = (16, 1 << 16)  # values of a row that are worth keeping together
EVERY = 16  # rows looked at: one in so many
LOOKED_AT_MAX = 4096  # rows of one tensor
FEW = 0.1  # of the rows: blocks are joined
SOME = 0.6  # of the rows: their borders are kept
VALUES_MAX = 16 * 1024 * 1024  # what one run of the value coder may hold, should all change after all


def row_of(old: memoryview, new: memoryview, before: Tensor, after: Tensor) -> int:
    """How many values a row of this tensor has, if it changes by rows: some do, most don't; else 0."""
    least, most = ROWS_OF_A_TENSOR
    row = after.row_values
    if not least <= row <= most or before.row_values != row or row == ROW:
        return 0
    size = min(before.size_bytes, after.size_bytes)
    seen, changed = _changed(old, new, Segment(after.start, size, before.start, size), row * after.dtype.width)
    return row if seen and 0 < changed < SOME * seen else 0


def pooled(plan: list[Work], old: memoryview, new: memoryview, check: CancelCheck = never_cancelled) -> list[Work]:
    """Neighbouring blocks of one type and row in which few rows change, as one, up to the size of a frame."""
    found: list[Work] = []
    for work in plan:
        check()
        share = _share_of_rows(work, old, new) if work.numbers and work.segments[0].old_size else 1.0
        few = replace(work, few_rows=True) if 0 < share < FEW else work
        last = found[-1] if found else None
        if last is not None and few.few_rows and last.few_rows and _alike(last, few) and _fit(last, few):
            found[-1] = replace(last, segments=(*last.segments, *few.segments))
        else:
            found.append(few)
    return found


def _alike(a: Work, b: Work) -> bool:
    return a.dtype is b.dtype and a.row == b.row


def _fit(a: Work, b: Work) -> bool:
    size = sum(s.new_size for w in (a, b) for s in w.segments)
    limit = min(FRAME_BYTES_MAX, VALUES_MAX * a.dtype.width)
    return size <= limit and len(a.segments) + len(b.segments) <= SEGMENTS_A_BLOCK


def _share_of_rows(work: Work, old: memoryview, new: memoryview) -> float:
    """Of a sample of rows, how many change."""
    width = (work.row or ROW) * work.dtype.width
    counts = [_changed(old, new, s, width) for s in work.segments]
    seen = sum(n for n, _ in counts)
    return sum(n for _, n in counts) / seen if seen else 1.0


def _changed(old: memoryview, new: memoryview, s: Segment, width: int) -> tuple[int, int]:
    """Of a pair of ranges, how many rows of ``width`` bytes were looked at, and how many of them differ."""
    rows = s.new_size // width
    if not rows:
        return 0, 0
    step = max(min(EVERY, rows), rows // LOOKED_AT_MAX)
    before = np.frombuffer(old, np.uint8, rows * width, s.old).reshape(rows, width)[::step]
    after = np.frombuffer(new, np.uint8, rows * width, s.new).reshape(rows, width)[::step]
    return len(before), int(np.count_nonzero((before != after).any(axis=1)))
