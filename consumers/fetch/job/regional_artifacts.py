"""Where a pod gets its artifacts: this machine's cache, filled from the regional bucket when it lacks one."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from modelcast.consumers.artifacts.sources import ArtifactMissing
from modelcast.consumers.fetch.cache.artifact_cache import ArtifactCache
from modelcast.consumers.fetch.errors import BlobMissing
from modelcast.consumers.fetch.job.fetcher import Fetcher
from modelcast.consumers.fetch.transfer.link import Link
from modelcast.schemas.errors import VerificationFailed
from modelcast.schemas.ports import ObjectStore


class RegionalArtifacts:
    """An ``ArtifactSource``. Damaged bytes in the cache are fetched again once.

    Args:
        cache_folder: the machine's cache; agents and pods share it.
        open_region: opens the regional bucket, called only when something has to be fetched; None: cache only.
        size_max_bytes: the cache's limit.
        link: how it is fetched; None: with its defaults.
    """

    def __init__(
        self,
        cache_folder: Path,
        open_region: Callable[[], ObjectStore] | None = None,
        size_max_bytes: int | None = None,
        link: Link | None = None,
    ) -> None:
        self._cache = ArtifactCache(cache_folder, size_max_bytes)
        self._open_region, self._link = open_region, link

    @contextmanager
    def open(self, manifest_digest: str) -> Iterator[Path]:
        """A verified folder, kept from eviction while the context is open.

        Raises:
            ArtifactMissing: it is neither in the cache nor, if there is one, in the regional bucket.
            VerificationFailed: the regional bucket's bytes are damaged too.
        """
        with ExitStack() as stack:
            try:
                folder = stack.enter_context(self._cache.open(manifest_digest, once=True))
            except (ArtifactMissing, VerificationFailed):
                if self._open_region is None:
                    raise
                self._fetch(manifest_digest, self._open_region())
                folder = stack.enter_context(self._cache.open(manifest_digest, once=True))
            yield folder

    def _fetch(self, manifest_digest: str, region: ObjectStore) -> None:
        try:
            Fetcher(region, None, self._cache, self._link).fetch(manifest_digest)
        except BlobMissing as error:
            raise ArtifactMissing(error.message, subject=error.subject) from error
