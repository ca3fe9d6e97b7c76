"""Deltas for tests: versions of a file a step apart, and what makes one of the other, in a store."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from modelcast.consumers.fetch import ArtifactCache, BaseCandidates, Fetcher, Link, LinkSpeeds, Throughput
from modelcast.deltas import codec as delta
from modelcast.deltas.fetch.accelerator import DeltaFetchAccelerator
from modelcast.deltas.fetch.chooser import Experience, Options
from modelcast.schemas import keys
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.manifest import Manifest
from modelcast.schemas.ports import ObjectStore
from modelcast.schemas.records import DeltaHint
from tests.consumers.fetch.publishing import OLD, step_from

SLOW_LINK = LinkSpeeds(origin_bytes_per_second=1e6, origin_request_seconds=0.02, measured=True)


class GivenThroughput(Throughput):
    """A throughput that shows what it was told, whatever happens."""

    def __init__(self, speeds: LinkSpeeds = SLOW_LINK) -> None:
        super().__init__()
        self._told = speeds

    def speeds(self) -> LinkSpeeds:
        return self._told


@dataclass(frozen=True)
class Patient:
    """Deltas over a link that is slow, as far as anybody knows."""

    accelerator: DeltaFetchAccelerator
    speeds: LinkSpeeds
    experience: Experience


def patient(speeds: LinkSpeeds = SLOW_LINK, **more: float) -> Patient:
    """Deltas over such a link, looked for often."""
    experience = Experience()
    options = Options(poll_seconds=0.01, **more)  # type: ignore[arg-type]
    return Patient(DeltaFetchAccelerator(options, experience), speeds, experience)


def by_delta(
    origin: ObjectStore,
    region: ObjectStore | None,
    cache: ArtifactCache,
    *,
    readers: int = 4,
    deltas: Patient | None = None,
) -> Fetcher:
    """A fetcher that uses deltas."""
    deltas = deltas or patient()
    link = Link(readers=readers, throughput=GivenThroughput(deltas.speeds))
    return Fetcher(origin, region, cache, link, accelerator=deltas.accelerator)


NEW = step_from(OLD, 2)
NEXT = step_from(NEW, 3)


def nothing_left(cache: ArtifactCache) -> bool:
    """Whether nothing is on its way any more."""
    return not any((cache.folder / "incoming").iterdir())


@lru_cache(maxsize=8)
def made(old: bytes | None, new: bytes) -> bytes:
    """The delta. The same bytes are asked for again and again."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "new").write_bytes(new)
        if old is not None:
            (folder / "old").write_bytes(old)
        base = folder / "old" if old is not None else None
        delta.make(
            base, folder / "new", folder / "delta", kernels="numpy", thorough=False
        )  # its size is no matter here
        return (folder / "delta").read_bytes()


def offer(store: ObjectStore, manifest: Manifest, old: bytes | None, new: bytes, body: bytes | None = None) -> str:
    """Put the delta (or ``body`` in its stead) where regions look for it; its key."""
    key = keys.delta(manifest.digest, sha256_of(new), sha256_of(old) if old is not None else None)
    store.put(key, made(old, new) if body is None else body)
    return key


def kin(versions: Mapping[int, Manifest], hints: Mapping[int, int] | None = None) -> BaseCandidates:
    """The newest of ``versions``, and hints by base version."""
    digests = {version: manifest.digest for version, manifest in versions.items()}
    return BaseCandidates(max(versions), tuple(DeltaHint(*hint) for hint in (hints or {}).items()), digests)
