"""What deltas are to be made of an artifact."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modelcast.deltas.codec import Layout
from modelcast.deltas.publish.planning.choice import FilePair
from modelcast.deltas.publish.planning.timing import DeltaTiming
from modelcast.schemas import keys
from modelcast.schemas.manifest import Manifest


@dataclass(frozen=True, slots=True)
class DeltaTarget:
    """What deltas are to make: an artifact, and where its files lie here, by digest."""

    model: str
    version: int
    manifest_digest: str
    manifest: Manifest
    files: Mapping[str, Path]
    layouts: Mapping[str, Layout]  # by digest, as far as they are known
    present: frozenset[str] = frozenset()  # keys of deltas that the store has


@dataclass(frozen=True, slots=True)
class PlannedDelta:
    """One delta of one file; base version 0: a compressed whole."""

    base_version: int
    pair: FilePair
    distance: int  # how many versions back
    old_layout: Layout | None = None  # of the base, if it is known


@dataclass(frozen=True, slots=True)
class DeltaBatch:
    """All deltas from one version. ``whole_bytes``: what a region that holds it would bring without them."""

    offer: DeltaTiming
    deltas: tuple[PlannedDelta, ...]
    whole_bytes: int


def delta_key(target: DeltaTarget, pair: FilePair) -> str:
    """Where the delta of one file lies in the store."""
    return keys.delta(target.manifest_digest, pair.new.digest, pair.old.digest if pair.old else None)
