"""Fetching an artifact: what the machine has, what the region has, and only the rest over the long link.

An artifact is in the cache only after it is in the regional bucket too: who comes next in this region, on whatever
machine, finds it there. The regional manifest is put last, so that it vouches for the blobs.
"""

from collections.abc import Callable, Set

import structlog

from modelcast.consumers.fetch.accelerator import Accelerator, NoAccelerator, Request
from modelcast.consumers.fetch.cache.artifact_cache import MANY_FILES, NOTHING, ArtifactCache
from modelcast.consumers.fetch.context import Context, End
from modelcast.consumers.fetch.errors import FetchCancelled
from modelcast.consumers.fetch.job.job import LEASE_FROM_BYTES, Job
from modelcast.consumers.fetch.job.prefetch import Prefetch
from modelcast.consumers.fetch.job.status import FetchStatus
from modelcast.consumers.fetch.planning.candidates import BaseCandidates
from modelcast.consumers.fetch.region.bucket import RegionalBucket
from modelcast.consumers.fetch.region.manifests import read_manifest
from modelcast.consumers.fetch.report import FetchReport, Wish
from modelcast.consumers.fetch.transfer.early import reads_to_come
from modelcast.consumers.fetch.transfer.link import Link
from modelcast.infra.ablation import PREFETCH, without
from modelcast.infra.freed_memory import give_back
from modelcast.schemas import keys
from modelcast.schemas.errors import StoreUnavailable
from modelcast.schemas.manifest import Manifest
from modelcast.schemas.ports import ObjectStore, Progress

LEASES_LOST_MAX = 3
_ALONE = BaseCandidates()

log = structlog.get_logger(__name__)

__all__ = ["FetchReport", "Fetcher"]


class Fetcher:
    """Brings artifacts into a cache. Thread-safe; one artifact is fetched by one caller at a time.

    Args:
        origin: where artifacts are published. For a pod this is the regional bucket.
        region: the region's own bucket; None: there is none, or it is the origin.
        cache: this machine's.
        link: what all transfers of this process share; None: nothing.
        accelerator: knows better ways; None: the road is all there is.
    """

    def __init__(
        self,
        origin: ObjectStore,
        region: ObjectStore | None,
        cache: ArtifactCache,
        link: Link | None = None,
        *,
        accelerator: Accelerator | None = None,
    ) -> None:
        self._origin = origin
        self._region = region
        self._cache = cache
        self._link = link or Link()
        self._accelerator: Accelerator = accelerator or NoAccelerator()
        self._prefetch = Prefetch()

    def prefetch(
        self, manifest_digest: str, manifest_key: str = "", *, size_bytes: int, candidates: BaseCandidates = _ALONE
    ) -> None:
        """An artifact will probably be fetched in a moment: ask for what that begins with. Waits for nothing.

        Args:
            manifest_digest: of which.
            manifest_key: as ``fetch``.
            size_bytes: its size as announced. For small ones nothing is done.
            candidates: as ``fetch``.
        """
        if size_bytes < LEASE_FROM_BYTES or self._cache.has(manifest_digest) or without(PREFETCH):
            return
        key = keys.manifest(manifest_digest)
        if manifest_key not in ("", key):
            return  # an announcement is only a hint: what else it names is not read on its word

        def read() -> Manifest:
            with self._link.throughput.request():
                return read_manifest(self._origin, manifest_digest, key)

        if self._prefetch.begin(manifest_digest, read):
            self._accelerator.prefetch(self._request(manifest_digest, candidates), size_bytes)
            reads_to_come(self._origin, self._link.readers)

    def _request(self, manifest_digest: str, candidates: BaseCandidates) -> Request:
        return Request(manifest_digest, self._origin, self._region, self._cache, self._link.throughput, candidates)

    def fetch(
        self,
        manifest_digest: str,
        manifest_key: str = "",
        *,
        size_bytes: int | None = None,
        keep: Set[str] = NOTHING,
        candidates: BaseCandidates = _ALONE,
        on_progress: Progress | None = None,
        on_status: Callable[[FetchStatus], None] | None = None,
        cancel: End | None = None,
    ) -> FetchReport:
        """Have the artifact in the cache and in the regional bucket, verified.

        Args:
            manifest_digest: what to fetch.
            manifest_key: where its manifest lies in the origin; empty: where it always lies.
            size_bytes: what the log says of its size; None: the log was not asked.
            keep: manifest digests that must not be evicted to make room.
            candidates: other versions of the model, and what was announced of them.
            on_progress: called with the number of further verified bytes.
            on_status: called from time to time with how far it has come, from a thread of the fetch.
            cancel: once it is set the fetch ends with ``FetchCancelled``.

        Raises:
            DamagedBytes, VerificationFailed: bytes differ from the manifest, or the manifest from the log.
            ContentError: the manifest must not be used.
            BlobMissing: the origin lacks the manifest or a file.
            StoreUnavailable: a store did not answer, after three attempts.
            DiskFull: no room.
            FetchCancelled: see ``cancel``.
        """
        early = self._prefetch.take(manifest_digest)
        wish = Wish(manifest_digest, manifest_key or keys.manifest(manifest_digest), size_bytes, keep, early)
        request = self._request(manifest_digest, candidates)
        many = True  # how much a failed one read is not known
        try:
            report = self._brought(request, wish, on_progress, on_status, cancel)
            many = report.files > MANY_FILES
            return report
        finally:
            self._cache.forget_large()
            if many:
                give_back()

    def _brought(
        self,
        request: Request,
        wish: Wish,
        on_progress: Progress | None,
        on_status: Callable[[FetchStatus], None] | None,
        cancel: End | None,
    ) -> FetchReport:
        manifest_digest = wish.manifest_digest
        for _ in range(LEASES_LOST_MAX):
            context = Context(*((cancel,) if cancel is not None else ()), on_progress=on_progress)
            region = RegionalBucket(self._region, manifest_digest, context) if self._region is not None else None
            leases = self._link.leases if region is not None else None
            lease = leases.lease(manifest_digest, context) if leases else None
            job = Job(
                request,
                region,
                self._cache,
                self._accelerator,
                link=self._link,
                lease=lease,
                context=context,
                on_status=on_status,
            )
            try:
                with self._cache.fetching(manifest_digest, context=context) as incoming:
                    if self._cache.has(manifest_digest):
                        return job.already_here(manifest_digest)
                    return job.bring(incoming, wish)
            except FetchCancelled:
                if context.cancelled() or lease is None or not lease.lost:
                    raise
                log.warning("another worker took over what this one was bringing", artifact=manifest_digest)
            finally:
                if lease is not None:
                    lease.drop()
        raise StoreUnavailable("this worker renews its lease too slowly to keep it", subject=manifest_digest)
