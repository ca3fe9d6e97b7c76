"""This worker's disk: artifacts fetched from the stores that the log names by alias."""

import threading
from collections.abc import Callable, Set

from modelcast.agents.region.values import Transfer
from modelcast.consumers.fetch import ArtifactCache, Fetcher
from modelcast.infra.settings import Settings
from modelcast.infra.stores.configured import store_of
from modelcast.schemas.ports import ObjectStore
from modelcast.schemas.records import ModelUpdate


class Disk:
    """An ``Artifacts``.

    Args:
        settings: what store aliases mean here.
        region_store: the region's own bucket.
        cache: this machine's.
        keep: the manifest digests that must not be evicted now.
    """

    def __init__(
        self, settings: Settings, region_store: ObjectStore, cache: ArtifactCache, keep: Callable[[], Set[str]]
    ) -> None:
        self._settings = settings
        self._region_store = region_store
        self.cache = cache
        self._keep = keep
        self._fetchers: dict[str, Fetcher] = {}
        self._lock = threading.Lock()

    def fetch(self, update: ModelUpdate, cancelled: Callable[[], bool]) -> tuple[str, Transfer]:
        """Bring an artifact here.

        Raises:
            NotFound: the settings do not know the store that the log names.
            ModelcastError: as ``Fetcher.fetch``.
        """
        artifact = update.artifact
        report = self._fetcher(artifact.store).fetch(
            artifact.manifest_digest,
            artifact.manifest_key,
            size_bytes=artifact.size_bytes,
            keep=self._keep() | {artifact.manifest_digest},
            cancelled=cancelled,
        )
        actual = self.cache.manifest(artifact.manifest_digest).digest
        return actual, Transfer(report.bytes_moved, report.bytes_saved, report.bytes_total, report.stage_seconds)

    def _fetcher(self, alias: str) -> Fetcher:
        with self._lock:
            if alias not in self._fetchers:
                origin = store_of(self._settings.store(alias))
                self._fetchers[alias] = Fetcher(origin, self._region_store, self.cache)
            return self._fetchers[alias]
