"""Deltas for tests: versions of a file a step apart, and what makes one of the other, in a store."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from random import Random

from modelcast.consumers.fetch import ArtifactCache, Deltas, Kin
from modelcast.consumers.fetch.costs import Speeds
from modelcast.consumers.fetch.transfer.throughput import Gauge
from modelcast.deltas import codec as delta
from modelcast.schemas import keys
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.manifest import Manifest
from modelcast.schemas.ports import ObjectStore
from modelcast.schemas.records import DeltaHint
from tests.consumers.fetch.publishing import MIB, noise

SLOW_LINK = Speeds(origin_bytes_per_second=1e6, origin_request_seconds=0.02, measured=True)


OLD = noise(2 * MIB + 100_000, 1)


class Told(Gauge):
    """A gauge that shows what it was told, whatever happens."""

    def __init__(self, speeds: Speeds = SLOW_LINK) -> None:
        super().__init__()
        self._told = speeds

    def speeds(self) -> Speeds:
        return self._told


def patient(speeds: Speeds = SLOW_LINK, **more: float) -> Deltas:
    """Deltas over a link that is slow, as far as anybody knows."""
    return Deltas(gauge=Told(speeds), poll_seconds=0.01, **more)  # type: ignore[arg-type]


def step_from(old: bytes, seed: int = 1) -> bytes:
    """Every 4 KiB a byte changes: no block stays the same, and yet little is new."""
    new, random = bytearray(old), Random(seed)
    for at in range(0, len(new), 4096):
        new[at + random.randrange(min(4096, len(new) - at))] ^= 1 + random.randrange(255)
    return bytes(new)


NEW = step_from(OLD, 2)
NEXT = step_from(NEW, 3)
SMALL = noise(500, 8)


def nothing_left(cache: ArtifactCache) -> bool:
    """Whether nothing is on its way any more."""
    return not any((cache.folder / "incoming").iterdir())


def made(old: bytes | None, new: bytes) -> bytes:
    """The delta."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "new").write_bytes(new)
        if old is not None:
            (folder / "old").write_bytes(old)
        delta.make(folder / "old" if old is not None else None, folder / "new", folder / "delta", kernels="numpy")
        return (folder / "delta").read_bytes()


def offer(store: ObjectStore, manifest: Manifest, old: bytes | None, new: bytes, body: bytes | None = None) -> str:
    """Put the delta (or ``body`` in its stead) where regions look for it; its key."""
    key = keys.delta(manifest.digest, sha256_of(new), sha256_of(old) if old is not None else None)
    store.put(key, made(old, new) if body is None else body)
    return key


def kin(versions: Mapping[int, Manifest], hints: Mapping[int, int] | None = None) -> Kin:
    """The newest of ``versions``, and hints by base version."""
    digests = {version: manifest.digest for version, manifest in versions.items()}
    return Kin(max(versions), tuple(DeltaHint(*hint) for hint in (hints or {}).items()), digests)
