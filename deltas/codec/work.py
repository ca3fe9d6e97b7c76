"""Which bytes of the old file predict which bytes of the new one. Pure: two layouts in, work out.

Ranges of one type are pooled into blocks of about 4 Mi values, whatever tensors they belong to: statistics shared
between small tensors are worth more than borders kept.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from modelcast.deltas.codec.container import FRAME_BYTES_MAX, Segment
from modelcast.deltas.codec.layouts.dtypes import BYTES, DType
from modelcast.deltas.codec.layouts.tensors import Layout, Tensor

BLOCK_VALUES = 4 * 1024 * 1024
BLOCK_BYTES_MAX = 16 * 1024 * 1024
SPAN_BYTES_MAX = 64 * 1024 * 1024  # a rare type does not hold back the hashing of what lies around it
FILE_CHUNK_BYTES = 8 * 1024 * 1024
DICT_WINDOW_BYTES = 16 * 1024 * 1024  # two threads of this fit the memory that is promised
SEGMENTS_A_BLOCK = 8192
TAIL_BYTES = 4 * 1024 * 1024
"""Of the blocks at a large file's end: when a delta's last byte arrives, little is left to undo."""
TAIL_FROM_BYTES = 4 * BLOCK_BYTES_MAX  # of a smaller file they would be too much: each has statistics of its own

Pair = tuple[Tensor, Tensor]
"""An old tensor, and the new one of its name."""
Renames = Callable[[Sequence[Tensor], Sequence[Tensor], Sequence[Pair]], dict[str, Tensor]]
Rows = Callable[[Tensor, Tensor], int]


@dataclass(frozen=True, slots=True)
class Work:
    """One block: its segments are of one type, and either all come from the old file or none does.

    ``numbers`` is False for what is no tensor: there the old range is a dictionary, not an equal.
    ``row``: the values of one row of the tensors, where they change by rows; their borders are kept. Else 0.
    ``few_rows``: most of it is known not to change.
    """

    dtype: DType
    segments: tuple[Segment, ...]
    numbers: bool
    row: int = 0
    few_rows: bool = False


def no_renames(_old: Sequence[Tensor], _new: Sequence[Tensor], _pairs: Sequence[Pair]) -> dict[str, Tensor]:
    """Tensors are matched by name only."""
    return {}


def no_rows(_old: Tensor, _new: Tensor) -> int:
    """No tensor is known to change by rows."""
    return 0


def plan_tensors(
    old: Layout,
    new: Layout,
    new_size: int,
    *,
    old_size: int = 0,
    renames: Renames = no_renames,
    rows: Rows = no_rows,
) -> list[Work]:
    """Blocks that cover the new file exactly once, by their first byte.

    Args:
        renames: of tensors without a partner, and of pairs by name: which come from which.
        rows: of a tensor that changes by rows, how many values one has; else 0.
    """
    partners = partners_of(old.tensors, new.tensors, renames)
    old_gaps = _gaps_after(old, old_size)
    pools: dict[tuple[int, bool, int], _Pool] = {}
    done: list[Work] = []
    gaps = []
    at, before = 0, 0  # what the gap that starts at ``at`` follows in the old file; -1: nothing known
    for tensor in new.tensors:
        if tensor.start > at:
            gaps.append(_gap(old_gaps, before, at, tensor.start))
        partner = partners.get(tensor.name)
        row = rows(partner, tensor) if partner else 0
        for segment in _pair(tensor, partner):
            key = (tensor.dtype.code, bool(segment.old_size), row if segment.old_size else 0)
            pool = pools.setdefault(key, _Pool(tensor.dtype, numbers=True, row=key[2]))
            for piece in _cut(segment, pool.block_bytes):
                if pool.is_full_for(piece):
                    done.append(pool.empty())
                pool.add(piece)
        at, before = tensor.end, partner.end if partner else -1
    if new_size > at:
        gaps.append(_gap(old_gaps, before, at, new_size))
    done += [pool.empty() for pool in pools.values() if pool.segments]
    done += _gap_work(gaps)
    plan = sorted(done, key=lambda w: w.segments[0].new)
    return _tapered(plan) if new_size >= TAIL_FROM_BYTES else plan


def plan_file(old_size: int, new_size: int) -> list[Work]:
    """Chunks of a file that is no tensors, each against what lies around it in the old file."""
    work = []
    for at in range(0, new_size, FILE_CHUNK_BYTES):
        size = min(FILE_CHUNK_BYTES, new_size - at)
        middle = (at + size // 2) * old_size // new_size
        start = max(0, min(middle - DICT_WINDOW_BYTES // 2, old_size - DICT_WINDOW_BYTES))
        work.append(Work(BYTES, (Segment(at, size, start, min(DICT_WINDOW_BYTES, old_size - start)),), False))
    return work


def plan_whole(new: Layout | None, new_size: int) -> list[Work]:
    """Blocks of a file that has no base."""
    return plan_file(0, new_size) if new is None else plan_tensors(Layout(()), new, new_size)


def _tapered(plan: list[Work]) -> list[Work]:
    """The last blocks of numbers, as much as one holds, in small pieces."""
    end, left = len(plan), BLOCK_BYTES_MAX
    while end and left > 0 and plan[end - 1].numbers:
        end -= 1
        left -= sum(s.new_size for s in plan[end].segments)
    return [*plan[:end], *(piece for work in plan[end:] for piece in _in_small_pieces(work))]


def _in_small_pieces(work: Work) -> Iterator[Work]:
    width = max(1, work.row) * work.dtype.width
    pool = _Pool(work.dtype, numbers=True, row=work.row, size_max=max(TAIL_BYTES // width, 1) * width)
    for segment in work.segments:
        for piece in _cut(segment, pool.block_bytes):
            if pool.is_full_for(piece):
                yield pool.empty()
            pool.add(piece)
    yield pool.empty()


@dataclass(slots=True)
class _Pool:
    dtype: DType
    numbers: bool
    row: int = 0
    size_max: int = BLOCK_BYTES_MAX
    segments: list[Segment] = field(default_factory=list)
    size: int = 0

    @property
    def block_bytes(self) -> int:
        size = min(BLOCK_VALUES * self.dtype.width, self.size_max)
        return size - size % max(1, self.row * self.dtype.width)

    def is_full_for(self, segment: Segment) -> bool:
        if not self.segments:
            return False
        far = segment.new + segment.new_size - self.segments[0].new > SPAN_BYTES_MAX
        return far or self.size + segment.new_size > self.block_bytes or len(self.segments) >= SEGMENTS_A_BLOCK

    def add(self, segment: Segment) -> None:
        self.size += segment.new_size
        last = self.segments[-1] if self.segments else None
        if last and _follows(last, segment) and self.numbers:
            both = last.old_size + segment.old_size
            self.segments[-1] = Segment(last.new, last.new_size + segment.new_size, last.old, both)
        else:
            self.segments.append(segment)

    def empty(self) -> Work:
        work = Work(self.dtype, tuple(self.segments), self.numbers, self.row)
        self.segments, self.size = [], 0
        return work


def _follows(a: Segment, b: Segment) -> bool:
    return a.new + a.new_size == b.new and (not a.old_size or a.old + a.old_size == b.old)


def _cut(segment: Segment, size_max: int) -> Iterator[Segment]:
    for at in range(0, segment.new_size, size_max):
        size = min(size_max, segment.new_size - at)
        yield (
            Segment(segment.new + at, size, segment.old + at, size)
            if segment.old_size
            else Segment(segment.new + at, size)
        )


def partners_of(old: Sequence[Tensor], new: Sequence[Tensor], renames: Renames = no_renames) -> dict[str, Tensor]:
    """For each new tensor that comes from an old one, by its name: that one.

    Names say it, unless ``renames`` knows better.
    """
    by_name = {t.name: t for t in old}
    partners = {}
    for tensor in new:
        candidate = by_name.get(tensor.name)
        if candidate and candidate.kind == tensor.kind and _comparable(candidate, tensor):
            partners[tensor.name] = candidate
    taken = {t.name for t in partners.values()}
    left_old = [t for t in old if t.name not in taken and t.size_bytes]
    left_new = [t for t in new if t.name not in partners and t.size_bytes]
    return partners | renames(left_old, left_new, [(partners[t.name], t) for t in new if t.name in partners])


def _comparable(old: Tensor, new: Tensor) -> bool:
    """Of one size (reshaped, too), or grown or shrunk along the first axis, as vocabularies are."""
    return old.size_bytes == new.size_bytes or (len(old.shape) > 0 and old.shape[1:] == new.shape[1:])


def _pair(tensor: Tensor, partner: Tensor | None) -> Iterator[Segment]:
    shared = min(tensor.size_bytes, partner.size_bytes) if partner else 0
    shared -= shared % tensor.dtype.width
    if partner and shared:
        yield Segment(tensor.start, shared, partner.start, shared)
    if tensor.size_bytes > shared:
        yield Segment(tensor.start + shared, tensor.size_bytes - shared)


def _gaps_after(old: Layout, old_size: int) -> dict[int, int]:
    """What lies between the old tensors: where each gap starts, and its size. Position 0 is the header."""
    starts = [0, *(t.end for t in old.tensors)]
    ends = [*(t.start for t in old.tensors), old_size]
    return {a: b - a for a, b in zip(starts, ends, strict=True) if b > a}


def _gap(old_gaps: Mapping[int, int], before: int, start: int, end: int) -> Segment:
    """A gap has the old file's gap for a dictionary that follows the same tensor there (or starts the file)."""
    size = old_gaps.get(before, 0)
    return Segment(start, end - start, before if size else 0, min(size, DICT_WINDOW_BYTES))


def _gap_work(gaps: Sequence[Segment]) -> list[Work]:
    """All gaps in as few frames as their size allows; one that is itself too large is cut."""
    work: list[Work] = []
    for gap in gaps:
        for piece in _pieces(gap):
            last = work[-1].segments if work else ()
            small = _bytes_of((*last, piece)) <= FILE_CHUNK_BYTES and len(last) < SEGMENTS_A_BLOCK
            alike = bool(last) and _unchanged_in_size(last[-1]) == _unchanged_in_size(piece)
            if small and alike:
                work[-1] = Work(BYTES, (*last, piece), False)
            else:
                work.append(Work(BYTES, (piece,), False))
    return work


def _pieces(gap: Segment) -> Iterator[Segment]:
    """A gap that is larger than a frame, cut; where the old one is as large, along with it."""
    if gap.new_size <= FRAME_BYTES_MAX:
        yield gap
    elif gap.new_size == gap.old_size:
        yield from _cut(gap, FRAME_BYTES_MAX)
    else:
        for at in range(0, gap.new_size, FRAME_BYTES_MAX):
            size = min(FRAME_BYTES_MAX, gap.new_size - at)
            yield Segment(gap.new + at, size, gap.old, gap.old_size)


def _bytes_of(segments: Sequence[Segment]) -> int:
    return sum(s.new_size + s.old_size for s in segments)


def _unchanged_in_size(segment: Segment) -> bool:
    """Likely a copy: told apart from gaps that must be coded anyway."""
    return segment.new_size == segment.old_size
