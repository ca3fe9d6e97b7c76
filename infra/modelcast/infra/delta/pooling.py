"""Blocks of which few rows change are joined, so that what does change is enough for good statistics."""

from dataclasses import replace

import numpy as np

from modelcast.infra.delta.container import FRAME_BYTES_MAX
from modelcast.infra.delta.plan import SEGMENTS_A_BLOCK, Work

ROW = 64
EVERY = 16  # rows looked at: one in so many
FEW = 0.1  # of the rows
VALUES_MAX = 16 * 1024 * 1024  # what one run of the value coder may hold, should all change after all


def joined(plan: list[Work], old: memoryview, new: memoryview) -> list[Work]:
    """Neighbouring blocks of one type in which few rows change, as one, up to the size of a frame."""
    found: list[Work] = []
    for work in plan:
        share = _share_of_rows(work, old, new) if work.numbers and work.segments[0].old_size else 1.0
        few = replace(work, few_rows=True) if 0 < share < FEW else work
        last = found[-1] if found else None
        if last is not None and few.few_rows and last.few_rows and last.dtype is few.dtype and _fit(last, few):
            found[-1] = replace(last, segments=(*last.segments, *few.segments))
        else:
            found.append(few)
    return found


def _fit(a: Work, b: Work) -> bool:
    size = sum(s.new_size for w in (a, b) for s in w.segments)
    limit = min(FRAME_BYTES_MAX, VALUES_MAX * a.dtype.width)
    return size <= limit and len(a.segments) + len(b.segments) <= SEGMENTS_A_BLOCK


def _share_of_rows(work: Work, old: memoryview, new: memoryview) -> float:
    """Of a sample of rows, how many change. Bytes stand for values: a row is 64 values wide."""
    width = ROW * work.dtype.width
    changed = seen = 0
    for s in work.segments:
        rows = s.new_size // width
        if rows:
            before = np.frombuffer(old, np.uint8, rows * width, s.old).reshape(rows, width)[::EVERY]
            after = np.frombuffer(new, np.uint8, rows * width, s.new).reshape(rows, width)[::EVERY]
            changed += int(np.count_nonzero((before != after).any(axis=1)))
            seen += len(before)
    return changed / seen if seen else 1.0
