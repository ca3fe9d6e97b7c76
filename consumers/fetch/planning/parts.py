"""The parts that files are read in. Pure."""

import math
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from types import MappingProxyType

from modelcast.consumers.fetch.planning.steps import Step, Way
from modelcast.schemas.manifest import BLOCK_SIZE_BYTES

PART_BLOCKS_MAX = 16
PART_BLOCKS_MIN = 2
PARTS_AHEAD = 4
"""No part is larger than this share of what is left: so many readers work at once."""
LATENCIES_IN_FLIGHT = 8
"""Latencies that the bytes asked for at once last: the link stays busy while a reader waits for an answer."""
LATENCY_SECONDS_MIN = 0.1
"""Near stores answer sooner, but each request costs processor time."""
NOTHING_WRITTEN: Mapping[str, Mapping[int, int]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Part:
    """A run of blocks of one step's file, read with one request.

    Attributes:
        written_bytes: of its first block, that an earlier attempt wrote. They are read from the disk.
    """

    step: Step
    first_block: int
    block_count: int
    written_bytes: int = 0

    @property
    def start(self) -> int:
        """The first byte."""
        return self.first_block * BLOCK_SIZE_BYTES

    @property
    def size_bytes(self) -> int:
        """Bytes of the part; the file's last block may be short."""
        return min(self.block_count * BLOCK_SIZE_BYTES, self.step.file.size_bytes - self.start)


def part_blocks(bytes_per_second: float, request_seconds: float, readers: int) -> int:
    """How many blocks a part has at most, on a link like this one.

    Short parts come nearly in order, and what follows the readers (a codec, an upload) has something to do from the
    start; but each reader waits for an answer between two of them.
    """
    in_flight = LATENCIES_IN_FLIGHT * max(request_seconds, LATENCY_SECONDS_MIN) * bytes_per_second
    return max(PART_BLOCKS_MIN, min(PART_BLOCKS_MAX, math.ceil(in_flight / readers / BLOCK_SIZE_BYTES)))


def parts_of(
    steps: Iterable[Step],
    missing: Mapping[str, Set[int]],
    written: Mapping[str, Mapping[int, int]] = NOTHING_WRITTEN,
    *,
    far_most: int = PART_BLOCKS_MAX,
) -> tuple[Part, ...]:
    """The blocks that the files of ``steps`` lack (by digest), in runs.

    Args:
        written: by digest and block, how many bytes of it are written.
        far_most: blocks of a part that comes over the long link, at most.
    """
    steps = list(steps)
    left = sum(len(missing[step.file.digest]) for step in steps)
    parts: list[Part] = []
    for step in steps:
        lacking, there = missing[step.file.digest], written.get(step.file.digest, {})
        most = far_most if step.way is not Way.REGION else PART_BLOCKS_MAX
        cut = runs(lacking, left - len(lacking), before=len(parts), most=most, written=there.keys())
        parts += [Part(step, first, count, there.get(first, 0)) for first, count in cut]
        left -= len(lacking)
    return tuple(parts)


def runs(
    blocks: Set[int],
    after: int = 0,
    *,
    before: int = 0,
    most: int = PART_BLOCKS_MAX,
    written: Set[int] = frozenset(),
) -> Iterator[tuple[int, int]]:
    """``blocks`` in runs: (first, count). Long ones first, for the fewest requests; towards the end shorter ones.

    Then readers end together, and what follows them (a codec, an upload) has little left to do after the last byte.
    The first ones differ in length: readers that begin at once and share the link would all end at once, too, and the
    link would stand idle until the next answer.

    Args:
        after: how many further blocks come after these.
        before: how many runs come before these.
        most: blocks of a run.
        written: blocks of which a part is there: each is the first of a run.
    """
    left, first, count, given = len(blocks) + after, 0, 0, before
    for block in sorted(blocks):
        step = -(-most * min(given + 1, PARTS_AHEAD) // PARTS_AHEAD)
        longest = min(step, max(PART_BLOCKS_MIN, left // PARTS_AHEAD))
        if count and (block != first + count or count >= longest or block in written):
            yield first, count
            left, count, given = left - count, 0, given + 1
        first, count = first if count else block, count + 1
    if count:
        yield first, count
