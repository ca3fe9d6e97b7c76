"""Which versions deltas start from, and which old file foretells which new one. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from modelcast.schemas.log import ModelLog
from modelcast.schemas.manifest import FileEntry, Manifest
from modelcast.schemas.renamed import renamed

BASES_MAX = 8
"""Deltas of one artifact: what regions hold comes first."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A file that is new in an artifact, and the one that it comes from (None: nothing resembles it)."""

    new: FileEntry
    old: FileEntry | None


def bases_of(
    log: ModelLog, version: int, manifest_digest: str, back: Sequence[int], held: Sequence[int] = ()
) -> tuple[int, ...]:
    """The versions that deltas of ``version`` start from, the most useful first.

    Args:
        log: the fold of the model's log.
        version: the one that the deltas make; only older ones are bases.
        manifest_digest: its bytes; versions that have the very same need no delta.
        back: how many versions back, among those that are not quarantined.
        held: what regions hold, the most wanted first. These come before the others.
    """
    older = sorted((v for v in log.updates if v < version), reverse=True)
    sound = [v for v in older if v not in log.quarantined]
    wanted = [v for v in held if v in older] + [sound[k - 1] for k in back if 0 < k <= len(sound)]
    found: dict[str, int] = {}  # by bytes: two versions may have the same
    for each in wanted:
        digest = log.updates[each].artifact.manifest_digest
        if digest != manifest_digest:
            found.setdefault(digest, each)
    return tuple(found.values())[:BASES_MAX]


def pairs_of(new: Manifest, old: Manifest, *, size_min_bytes: int = 0) -> tuple[Pair, ...]:
    """The files of ``new`` that ``old`` lacks, each with what it comes from: its path's, else the likest of its kind.

    Args:
        new: what the deltas make.
        old: what a region has.
        size_min_bytes: smaller files travel whole.
    """
    there = {f.digest for f in old.files}
    before = {f.path: f for f in old.files}
    lacking: dict[str, FileEntry] = {}
    for file in new.files:
        if file.size_bytes >= max(size_min_bytes, 1) and file.digest not in there:
            lacking.setdefault(file.digest, file)
    paths = {n.path for n in new.files}
    partners = {f.digest: before[f.path] for f in lacking.values() if f.path in before and before[f.path].size_bytes}
    came = {f.path: f for f in lacking.values() if f.digest not in partners}
    likest = renamed(
        {path: f.size_bytes for path, f in came.items()},
        {f.path: f.size_bytes for f in old.files if f.path not in paths},
    )
    partners |= {came[path].digest: before[was] for path, was in likest.items()}
    return tuple(Pair(f, partners.get(f.digest)) for f in lacking.values())
