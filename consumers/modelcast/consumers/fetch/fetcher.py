"""Fetching an artifact: what the machine has, what the region has, and only the rest over the long link.

An artifact is in the cache only after it is in the regional bucket too: who comes next in this region, on whatever
machine, finds it there. The regional manifest is put last, so that it vouches for the blobs.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from modelcast.consumers.fetch.cache import NOTHING, ArtifactCache
from modelcast.consumers.fetch.download import Download
from modelcast.consumers.fetch.errors import DamagedBytes
from modelcast.consumers.fetch.incoming import Incoming, digest_of
from modelcast.consumers.fetch.manifests import read_manifest
from modelcast.consumers.fetch.plan import Part, Step, Way, parts_of, plan
from modelcast.consumers.fetch.regional import RegionalBucket
from modelcast.consumers.fetch.retry import check, retried
from modelcast.schemas import keys
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import VerificationFailed
from modelcast.schemas.manifest import Manifest
from modelcast.schemas.ports import ObjectStore, Progress


@dataclass(frozen=True, slots=True)
class FetchReport:
    """What a fetch cost.

    ``bytes_moved`` came from the origin in this call (without the manifest; what came twice counts twice),
    ``bytes_saved`` did not have to. ``stage_seconds``: manifest, verify, origin, regional, stage (room, fsync, rename).
    """

    bytes_moved: int
    bytes_saved: int
    bytes_total: int
    stage_seconds: Mapping[str, float] = field(default_factory=dict)


class Fetcher:
    """Brings artifacts into a cache. Thread-safe; one artifact is fetched by one caller at a time.

    Args:
        origin: where artifacts are published. For a pod this is the regional bucket.
        region: the region's own bucket; None: there is none, or it is the origin.
        cache: this machine's.
    """

    def __init__(self, origin: ObjectStore, region: ObjectStore | None, cache: ArtifactCache) -> None:
        self._origin = origin
        self._region = region
        self._cache = cache

    def fetch(
        self,
        manifest_digest: str,
        manifest_key: str = "",
        *,
        size_bytes: int | None = None,
        keep: Set[str] = NOTHING,
        on_progress: Progress | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> FetchReport:
        """Have the artifact in the cache and in the regional bucket, verified.

        Args:
            manifest_digest: what to fetch.
            manifest_key: where its manifest lies in the origin; empty: where it always lies.
            size_bytes: what the log says of its size; None: the log was not asked.
            keep: manifest digests that must not be evicted to make room.
            on_progress: told of further verified bytes.
            cancelled: asked often; once true the fetch ends with ``FetchCancelled``.

        Raises:
            DamagedBytes, VerificationFailed: bytes differ from the manifest, or the manifest from the log.
            ContentError: the manifest must not be used.
            BlobMissing: the origin lacks the manifest or a file.
            StoreUnavailable: a store did not answer, after three attempts.
            DiskFull: no room.
            FetchCancelled: see ``cancelled``.
        """
        region = RegionalBucket(self._region, manifest_digest, cancelled) if self._region is not None else None
        job = _Job(self._origin, region, self._cache, on_progress or _silent, cancelled)
        with self._cache.fetching(manifest_digest, cancelled=cancelled) as incoming:
            if self._cache.has(manifest_digest):
                return job.already_here(manifest_digest)
            key = manifest_key or keys.manifest(manifest_digest)
            return job.bring(incoming, manifest_digest, key, size_bytes, keep)


class _Job:
    """One fetch."""

    def __init__(
        self,
        origin: ObjectStore,
        region: RegionalBucket | None,
        cache: ArtifactCache,
        progress: Progress,
        cancelled: Callable[[], bool],
    ) -> None:
        self._origin = origin
        self._region = region
        self._cache = cache
        self._progress = progress
        self._cancelled = cancelled
        self._seconds: dict[str, float] = {}

    def already_here(self, manifest_digest: str) -> FetchReport:
        """The artifact is in the cache; see to it that the regional bucket has it too (it may have been emptied)."""
        manifest = self._cache.manifest(manifest_digest)
        if self._region is not None:
            with self._timed("regional"):
                if not self._region.has_all():
                    with self._cache.open(manifest_digest) as folder:
                        files = {file.digest: (file, folder / file.path) for file in manifest.files}
                        self._region.admit(manifest, files)
        self._progress(manifest.size_bytes)
        return self._report(manifest, 0)

    def bring(
        self, incoming: Incoming, manifest_digest: str, manifest_key: str, size_bytes: int | None, keep: Set[str]
    ) -> FetchReport:
        """Put the artifact together and publish it in the cache."""
        with self._timed("manifest"):
            manifest = self._manifest(manifest_digest, manifest_key, size_bytes)
            regional = self._region.digests(manifest) if self._region else frozenset()
        with self._timed("verify"):
            incoming.begin(manifest)
            here = self._cache.files_by_digest()
            steps = plan(manifest, cached=here.keys(), regional=regional)
            linked = {s.file.digest for s in steps if s.way is Way.CACHE and incoming.link(here[s.file.digest], s.file)}
            steps = plan(manifest, cached=linked, regional=regional)
            wanted = [step for step in steps if step.way is not Way.CACHE]
            resumed = {step.file.digest for step in wanted if incoming.path(step.file).exists()}
        with self._timed("stage"):
            self._cache.reserve(incoming, [step.file for step in wanted], keep=keep)
        with self._timed("verify"):
            parts = self._missing_parts(incoming, wanted, resumed)
        self._progress(manifest.size_bytes - sum(part.size_bytes for part in parts))
        download = self._download(incoming, parts)
        with self._timed("stage"):
            self._link_twins(incoming, steps)
        with ThreadPoolExecutor(1, "sync") as pool:  # beside the upload: both wait for disks most of the time
            synced = pool.submit(incoming.sync, manifest)
            self._check_whole(incoming, manifest, steps, regional - download.arrived)
            with self._timed("stage"):
                synced.result()
        with self._timed("stage"):
            check(self._cancelled)
            incoming.publish()
        return self._report(manifest, download.moved_bytes[Way.ORIGIN])

    def _manifest(self, manifest_digest: str, manifest_key: str, size_bytes: int | None) -> Manifest:
        manifest = self._region.find() if self._region else None
        if manifest is None:
            manifest = retried(lambda: read_manifest(self._origin, manifest_digest, manifest_key), self._cancelled)
        if size_bytes is not None and manifest.size_bytes != size_bytes:
            raise VerificationFailed(
                f"the manifest's files have {manifest.size_bytes} bytes, the log says {size_bytes}",
                subject=manifest_digest,
            )
        return manifest

    def _missing_parts(self, incoming: Incoming, wanted: list[Step], resumed: Set[str]) -> list[Part]:
        parts: list[Part] = []
        for step in wanted:
            check(self._cancelled)
            every = set(range(len(step.file.blocks)))
            parts += parts_of(step, incoming.missing_blocks(step.file) if step.file.digest in resumed else every)
        return parts

    def _download(self, incoming: Incoming, parts: list[Part]) -> Download:
        stores = {Way.ORIGIN: self._origin}
        if self._region:
            stores[Way.REGION] = self._region.store
        download = Download(
            stores,
            lambda part: incoming.path(part.step.file),
            progress=self._progress,
            cancelled=self._cancelled,
            distrust=self._region.distrust if self._region else _silent,
        )
        started = time.perf_counter()
        try:
            download.run(parts)
        finally:
            seconds, moved = time.perf_counter() - started, download.moved_bytes
            share = moved[Way.ORIGIN] / (sum(moved.values()) or 1)
            self._add("origin", seconds * share)
            self._add("regional", seconds * (1 - share))
        return download

    def _check_whole(
        self, incoming: Incoming, manifest: Manifest, steps: tuple[Step, ...], in_region: Set[str]
    ) -> None:
        """Compare the digests of whole files; all blocks being right, only a manifest that lies fails here.

        What enters the region is hashed by the upload, what was there was hashed when it entered.
        """
        files = {step.file.digest: (step.file, incoming.path(step.file)) for step in steps}
        if self._region is not None:
            with self._timed("regional"):
                self._region.admit(manifest, {digest: f for digest, f in files.items() if digest not in in_region})
            return
        with self._timed("verify"):
            for file, path in files.values():
                check(self._cancelled)
                # A file of one block: its digest is its block's.
                got = digest_of(path) if len(file.blocks) > 1 else "sha256:" + (file.blocks or (_EMPTY,))[0]
                if got != file.digest:
                    raise DamagedBytes(file.path, expected=file.digest, got=got, store=self._origin.name)

    def _link_twins(self, incoming: Incoming, steps: tuple[Step, ...]) -> None:
        for step in steps:
            for path in step.also_at:
                twin = replace(step.file, path=path)
                if not incoming.link(incoming.path(step.file), twin):
                    raise DamagedBytes(path, expected=twin.digest, got="other bytes", store=str(incoming.folder))

    def _report(self, manifest: Manifest, moved: int) -> FetchReport:
        total = manifest.size_bytes
        return FetchReport(moved, max(0, total - moved), total, dict(self._seconds))

    def _add(self, stage: str, seconds: float) -> None:
        self._seconds[stage] = self._seconds.get(stage, 0.0) + seconds

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self._add(stage, time.perf_counter() - started)


def _silent(_: object) -> None:
    pass


_EMPTY = sha256_of(b"").removeprefix("sha256:")
