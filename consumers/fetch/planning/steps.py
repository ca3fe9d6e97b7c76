"""Which files of an artifact are near and which are far, and how each comes here. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from hashlib import sha256

from modelcast.consumers.fetch.planning.blocks import block_bytes
from modelcast.schemas.manifest import BLOCK_SIZE_BYTES, FileEntry, Manifest

_BLANK = sha256(bytes(BLOCK_SIZE_BYTES)).hexdigest()  # a short last block of zeros may pass for brought


class Source(Enum):
    """The store that bytes are read from."""

    REGION = "region"
    ORIGIN = "origin"


class Way(StrEnum):
    """How a file comes here."""

    CACHE = "cache"  # another artifact on this machine holds the same bytes
    REGION = "region"  # the regional bucket holds them
    ACCELERATED = "accelerated"  # an accelerator brings it, in a way of its own
    BLOCKS = "blocks"  # some of its blocks are taken from other files here; the others come from the origin
    RESUMED = "resumed"  # an earlier attempt brought a part of it; the rest comes from the origin
    WHOLE = "whole"  # all of it from the origin


RANK = {way: number for number, way in enumerate(Way)}
"""Nearest first."""


@dataclass(frozen=True, slots=True)
class Label:
    """What people read of a way: for one file, after a number of files; ``kind``: an accelerator's, in a word."""

    one: str
    many: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One file to bring, once; ``also_at`` are further paths with the same bytes.

    Attributes:
        origin_bytes: what it brings over the long link.
        local_bytes: what is taken from files on this machine instead.
        own_label: an accelerator's own label; None: the way's.
    """

    file: FileEntry
    way: Way
    also_at: tuple[str, ...] = ()
    origin_bytes: int = 0
    local_bytes: int = 0
    own_label: Label | None = None

    @property
    def label(self) -> Label:
        """For people."""
        if self.own_label is not None:
            return self.own_label
        if self.way is Way.RESUMED and not self.origin_bytes:
            return _BROUGHT_BEFORE
        return _LABELS[self.way]

    @property
    def kind(self) -> str:
        """Its way in a word: few enough for a label of metrics."""
        return (self.own_label.kind if self.own_label else "") or self.way


_BROUGHT_BEFORE = Label("brought before", "brought before")
_LABELS = {
    Way.CACHE: Label("unchanged", "unchanged"),
    Way.REGION: Label("from the region", "from the region"),
    Way.ACCELERATED: Label("accelerated", "accelerated"),
    Way.BLOCKS: Label("in changed blocks", "in changed blocks"),
    Way.RESUMED: Label("resumed whole", "resumed wholes"),
    Way.WHOLE: Label("whole", "wholes"),
}


def steps_of(manifest: Manifest, *, cached: Set[str], regional: Set[str]) -> tuple[Step, ...]:
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
    return Way.REGION if digest in regional else Way.WHOLE


def reusable(file: FileEntry, held: Mapping[str, tuple[str, int]], missing: Set[int]) -> dict[int, tuple[str, int]]:
    """Which ``missing`` blocks lie in held files, at whatever offset: block number → (file digest, block number there).

    Args:
        file: what is wanted.
        held: block digest → where it lies.
        missing: the numbers of the blocks that are not here.
    """
    return {number: held[file.blocks[number]] for number in sorted(missing) if file.blocks[number] in held}


def bytes_of(file: FileEntry, blocks: Set[int]) -> int:
    """Bytes of several blocks."""
    return sum(block_bytes(file.size_bytes, number) for number in blocks)


def without_detour(step: Step, missing: Set[int], held: Mapping[str, tuple[str, int]]) -> Step:
    """A step that the road brings: as a whole, less the blocks that are here already or lie in ``held`` files.

    Args:
        missing: the numbers of the blocks that are not here.
        held: block digest → where it lies.
    """
    file = step.file
    local = bytes_of(file, reusable(file, held, missing).keys())
    before = set(range(len(file.blocks))) - missing
    alone = before - reusable(file, held, before).keys()
    blank = bytes_of(file, {n for n in alone if file.blocks[n] == _BLANK})  # space was taken, but no bytes were written
    brought = bytes_of(file, alone) - blank
    lacking = bytes_of(file, missing) - local
    whole = Way.RESUMED if brought else Way.WHOLE
    way = Way.BLOCKS if lacking + brought + blank < file.size_bytes else whole
    return replace(step, way=way, origin_bytes=lacking, local_bytes=local, own_label=None)


def origin_bytes_of(steps: Iterable[Step]) -> int:
    """What the steps bring over the long link."""
    return sum(step.origin_bytes for step in steps)


def in_words(steps: Sequence[Step]) -> str:
    """The ways of an artifact's files for people, as in "3 unchanged, 1 delta from 3"."""
    counts = Counter((step.way, step.label) for step in steps)
    if not counts:
        return "nothing to move"
    ordered = sorted(counts.items(), key=lambda item: (RANK[item[0][0]], item[0][1].one))
    if len(steps) == 1:
        return ordered[0][0][1].one
    return ", ".join(f"{count} {label.many if count > 1 else label.one}" for (_, label), count in ordered)


def main_kind(steps: Sequence[Step]) -> str:
    """The kind of way that brings most over the long link; where nothing does, the furthest that was gone."""
    furthest = max(steps, key=lambda step: (step.origin_bytes, RANK[step.way]), default=None)
    return furthest.kind if furthest else Way.CACHE
