"""Which files of an artifact are near and which are far, and the parts that they are read in. Pure."""

from collections.abc import Set
from dataclasses import dataclass
from enum import IntEnum

from modelcast.schemas.manifest import BLOCK_SIZE_BYTES, FileEntry, Manifest

PART_BLOCKS = 8
PART_BLOCKS_MAX = 32
PARTS_AT_LEAST = 16
"""Each part is a request, for which a reader waits; but there have to be several for each reader, also at the end."""


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
    """A run of blocks of one step's file, read with one request."""

    step: Step
    first_block: int
    block_count: int

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


def parts_of(step: Step, missing: Set[int]) -> tuple[Part, ...]:
    """The ``missing`` blocks of a step's file as runs of at most ``part_blocks`` of their number."""
    blocks_max = part_blocks(len(missing))
    parts: list[Part] = []
    for block in sorted(missing):
        last = parts[-1] if parts else None
        if last and block == last.first_block + last.block_count and last.block_count < blocks_max:
            parts[-1] = Part(step, last.first_block, last.block_count + 1)
        else:
            parts.append(Part(step, block, 1))
    return tuple(parts)


def part_blocks(missing: int) -> int:
    """How many blocks a part may have where so many are missing."""
    return min(max(missing // PARTS_AT_LEAST, PART_BLOCKS), PART_BLOCKS_MAX)
