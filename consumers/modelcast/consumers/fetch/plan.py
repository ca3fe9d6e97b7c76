"""Which files of an artifact are near and which are far, and the parts that they are read in. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType

from modelcast.schemas.manifest import BLOCK_SIZE_BYTES, FileEntry, Manifest

PART_BLOCKS_MAX = 16
PART_BLOCKS_MIN = 2
PARTS_AHEAD = 4
"""No part is larger than this share of what is left: so many readers work at once."""
NOTHING_BEGUN: Mapping[str, Mapping[int, int]] = MappingProxyType({})


class Way(IntEnum):
    """How a file comes here, cheapest first."""

    CACHE = 0  # another artifact on this machine holds the same bytes
    REGION = 1  # the regional bucket has it
    ORIGIN = 2  # over the long link


@dataclass(frozen=True, slots=True)
class Step:
    """One file to bring, once; ``also_at`` are further paths with the same bytes."""

    file: FileEntry
    way: Way
    also_at: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """A run of blocks of one step's file, read with one request.

    Attributes:
        begun_bytes: of its first block, that an earlier attempt wrote. They are read from the disk.
    """

    step: Step
    first_block: int
    block_count: int
    begun_bytes: int = 0

    @property
    def start(self) -> int:
        """The first byte."""
        return self.first_block * BLOCK_SIZE_BYTES

    @property
    def size_bytes(self) -> int:
        """Bytes of the part; the file's last block may be short."""
        return min(self.block_count * BLOCK_SIZE_BYTES, self.step.file.size_bytes - self.start)


def plan(manifest: Manifest, *, cached: Set[str], regional: Set[str]) -> tuple[Step, ...]:
    """The steps for ``manifest``, given the file digests that this machine and the regional bucket hold."""
    first: dict[str, FileEntry] = {}
    others: dict[str, list[str]] = {}
    for file in manifest.files:
        if file.digest in first:
            others.setdefault(file.digest, []).append(file.path)
        else:
            first[file.digest] = file
    return tuple(
        Step(file, _way(digest, cached, regional), tuple(others.get(digest, ()))) for digest, file in first.items()
    )


def _way(digest: str, cached: Set[str], regional: Set[str]) -> Way:
    if digest in cached:
        return Way.CACHE
    return Way.REGION if digest in regional else Way.ORIGIN


def parts_of(
    steps: Iterable[Step], missing: Mapping[str, Set[int]], begun: Mapping[str, Mapping[int, int]] = NOTHING_BEGUN
) -> tuple[Part, ...]:
    """The blocks that the files of ``steps`` lack (by digest), in runs.

    Args:
        begun: by digest and block, how many bytes of it are written.
    """
    steps = list(steps)
    left, parts = sum(len(missing[step.file.digest]) for step in steps), []
    for step in steps:
        lacking, there = missing[step.file.digest], begun.get(step.file.digest, {})
        for first, count in runs(lacking, left - len(lacking), begun=there.keys()):
            parts.append(Part(step, first, count, there.get(first, 0)))
        left -= len(lacking)
    return tuple(parts)


def runs(blocks: Set[int], after: int = 0, *, begun: Set[int] = frozenset()) -> Iterator[tuple[int, int]]:
    """``blocks`` in runs: (first, count). Long ones first, for the fewest requests; towards the end shorter ones.

    Then readers end together, and whoever follows them (a codec, an upload) has little left to do after the last byte.

    Args:
        after: how many further blocks come after these.
        begun: blocks of which a part is there: each is the first of a run.
    """
    left, first, count = len(blocks) + after, 0, 0
    for block in sorted(blocks):
        longest = max(PART_BLOCKS_MIN, min(PART_BLOCKS_MAX, left // PARTS_AHEAD))
        if count and (block != first + count or count >= longest or block in begun):
            yield first, count
            left, count = left - count, 0
        first, count = first if count else block, count + 1
    if count:
        yield first, count
