"""Which versions deltas start from, and which old file predicts which new one. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelcast.deltas.pairing.partners import FileTensors, partners
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.manifest import FileEntry, Manifest

Tensors = Mapping[str, Mapping[str, int]]
"""What files hold, by path: bytes of each tensor, by name. Of a path that is left out it is not known."""

BASES_MAX = 8
"""Deltas of one artifact: what regions hold comes first."""


@dataclass(frozen=True, slots=True)
class FilePair:
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


def file_pairs(
    new: Manifest,
    old: Manifest,
    *,
    size_min_bytes: int = 0,
    tensors: tuple[Tensors, Tensors] = ({}, {}),
) -> tuple[FilePair, ...]:
    """The files of ``new`` that ``old`` lacks, each with what it comes from, as ``partners`` matches them.

    Args:
        new: what the deltas make.
        old: what a region has.
        size_min_bytes: smaller files travel whole.
        tensors: what the files of ``new`` and of ``old`` hold, as far as it is known.
    """
    there = {f.digest for f in old.files}
    before = {f.path: f for f in old.files}
    held = [
        {f.path: FileTensors(f.size_bytes, f.digest, known.get(f.path)) for f in each.files}
        for each, known in zip((new, old), tensors, strict=True)
    ]
    came_from = partners(held[0], held[1])
    found: dict[str, FilePair] = {}  # by bytes: they may lie in two places, and one of these tells where they come from
    for file in new.files:
        if file.size_bytes >= max(size_min_bytes, 1) and file.digest not in there:
            known = found.get(file.digest)
            was = came_from.get(file.path)
            if known is None or (known.old is None and was is not None):
                found[file.digest] = FilePair(file, before[was] if was is not None else None)
    return tuple(found.values())
