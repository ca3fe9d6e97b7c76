"""Fetching an artifact: what the machine has, what the region has, and only the rest over the long link.

An artifact is in the cache only after it is in the regional bucket too: who comes next in this region, on whatever
machine, finds it there. The regional manifest is put last, so that it vouches for the blobs.
"""

from collections.abc import Callable, Set

import structlog

from modelcast.consumers.fetch.cache.artifact_cache import NOTHING, ArtifactCache
from modelcast.consumers.fetch.choosing import Choice, Deltas
from modelcast.consumers.fetch.course import Kin
from modelcast.consumers.fetch.errors import FetchCancelled
from modelcast.consumers.fetch.job.job import TURN_FROM_BYTES, Job
from modelcast.consumers.fetch.job.prefetch import Foresight
from modelcast.consumers.fetch.job.report import FetchReport, Wish
from modelcast.consumers.fetch.job.status import FetchStatus
from modelcast.consumers.fetch.region.bucket import RegionalBucket
from modelcast.consumers.fetch.region.manifests import read_manifest
from modelcast.consumers.fetch.transfer.early import reads_to_come
from modelcast.consumers.fetch.transfer.link import Link
from modelcast.consumers.fetch.transfer.throughput import Gauge
from modelcast.schemas import keys
from modelcast.schemas.errors import StoreUnavailable
from modelcast.schemas.manifest import Manifest
from modelcast.schemas.ports import ObjectStore, Progress

TURNS_LOST_MAX = 3
_ALONE = Kin()

log = structlog.get_logger(__name__)

__all__ = ["FetchReport", "Fetcher"]


class Fetcher:
    """Brings artifacts into a cache. Thread-safe; one artifact is fetched by one caller at a time.

    Args:
        origin: where artifacts are published. For a pod this is the regional bucket.
        region: the region's own bucket; None: there is none, or it is the origin.
        cache: this machine's.
        link: what all transfers of this process share; None: nothing.
        deltas: how deltas are used; None: not at all. What failed is remembered in it.
    """

    def __init__(
        self,
        origin: ObjectStore,
        region: ObjectStore | None,
        cache: ArtifactCache,
        link: Link | None = None,
        *,
        deltas: Deltas | None = None,
    ) -> None:
        self._origin = origin
        self._region = region
        self._cache = cache
        self._link = link or Link()
        self._deltas = deltas
        self._foresight = Foresight()

    def foresee(self, manifest_digest: str, manifest_key: str = "", *, size_bytes: int, kin: Kin = _ALONE) -> None:
        """An artifact will probably be fetched in a moment: ask for what that begins with. Waits for nothing.

        Args:
            manifest_digest: of which.
            manifest_key: as ``fetch``.
            size_bytes: what is said of its size. For small ones nothing is done.
            kin: as ``fetch``.
        """
        if size_bytes < TURN_FROM_BYTES or self._cache.has(manifest_digest):
            return
        key = keys.manifest(manifest_digest)
        if manifest_key not in ("", key):
            return  # an announcement is only a hint: what else it names is not read on its word
        choice = Choice(self._deltas, self._origin, None, self._cache, manifest_digest, kin, lambda: False)

        def read() -> Manifest:
            with (self._deltas.gauge if self._deltas else Gauge()).request():
                return read_manifest(self._origin, manifest_digest, key)

        if self._foresight.begin(manifest_digest, size_bytes, read, choice):
            reads_to_come(self._origin, self._link.readers)

    def fetch(
        self,
        manifest_digest: str,
        manifest_key: str = "",
        *,
        size_bytes: int | None = None,
        keep: Set[str] = NOTHING,
        kin: Kin = _ALONE,
        on_progress: Progress | None = None,
        on_status: Callable[[FetchStatus], None] | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> FetchReport:
        """Have the artifact in the cache and in the regional bucket, verified.

        Args:
            manifest_digest: what to fetch.
            manifest_key: where its manifest lies in the origin; empty: where it always lies.
            size_bytes: what the log says of its size; None: the log was not asked.
            keep: manifest digests that must not be evicted to make room.
            kin: other versions of the model, and the deltas that were foretold.
            on_progress: told of further verified bytes.
            on_status: told from time to time how far it has come, from a thread of the fetch.
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
        choice = Choice(self._deltas, self._origin, region, self._cache, manifest_digest, kin, cancelled)
        foreseen = self._foresight.take(manifest_digest)
        if foreseen is not None:
            choice.inherit(foreseen.choice)
        early = foreseen.manifest if foreseen is not None else None
        wish = Wish(manifest_digest, manifest_key or keys.manifest(manifest_digest), size_bytes, keep, early)
        for _ in range(TURNS_LOST_MAX):
            turns = self._link.turns if region is not None else None
            turn = turns.turn(manifest_digest, cancelled) if turns else None
            job = Job(
                self._origin,
                region,
                self._cache,
                choice,
                self._deltas,
                link=self._link,
                turn=turn,
                progress=on_progress or _silent,
                tell=on_status,
                cancelled=cancelled,
            )
            try:
                with self._cache.fetching(manifest_digest, cancelled=cancelled) as incoming:
                    if self._cache.has(manifest_digest):
                        return job.already_here(manifest_digest)
                    return job.bring(incoming, wish)
            except FetchCancelled:
                if cancelled() or turn is None or not turn.lost:
                    raise
                log.warning("another worker took over what this one was bringing", artifact=manifest_digest)
            finally:
                if turn is not None:
                    turn.drop()
        raise StoreUnavailable("this worker is too slow to be heard of", subject=manifest_digest)


def _silent(_: object) -> None:
    pass
