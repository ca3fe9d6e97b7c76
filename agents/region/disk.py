"""This worker's disk: artifacts fetched from the stores that the log names by alias."""

import threading
from collections.abc import Callable, Mapping, Set
from contextlib import suppress

from modelcast.agents.region.decider.events_and_effects import Transfer
from modelcast.consumers.fetch import (
    Accelerator,
    ArtifactCache,
    BaseCandidates,
    Fetcher,
    FetchReport,
    FetchStatus,
    Link,
)
from modelcast.infra.settings import Settings
from modelcast.infra.stores.configured import store_of
from modelcast.schemas.errors import ModelcastError
from modelcast.schemas.ports import ObjectStore
from modelcast.schemas.records import ModelUpdate


class Disk:
    """An ``Artifacts``.

    Args:
        settings: what store aliases mean here.
        region_store: the region's own bucket.
        cache: this machine's.
        keep: the manifest digests that must not be evicted now.
        versions: the manifest digests of a model's versions, as far as they are known here.
        link: what is shared of the long link; None: nothing.
        accelerator: knows better ways than the road; None: there is none.
    """

    def __init__(
        self,
        settings: Settings,
        region_store: ObjectStore,
        cache: ArtifactCache,
        keep: Callable[[], Set[str]],
        versions: Callable[[str], Mapping[int, str]] = lambda _: {},
        link: Link | None = None,
        accelerator: Accelerator | None = None,
    ) -> None:
        self._settings = settings
        self._region_store = region_store
        self.cache = cache
        self._keep = keep
        self._versions = versions
        self._link = link or Link()
        self._accelerator = accelerator
        self._fetchers: dict[str, Fetcher] = {}
        self._lock = threading.Lock()

    @property
    def origin_bytes_per_second(self) -> float:
        """Estimated throughput of the long link, bytes a second, within the current limit; 0: not known."""
        return self._link.throughput.of_the_region()

    def fetch(
        self,
        update: ModelUpdate,
        cancel: threading.Event,
        on_status: Callable[[FetchStatus], None],
    ) -> Transfer:
        """Bring an artifact here, verified.

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
            candidates=BaseCandidates(update.version, update.delta_hints, self._versions(update.model)),
            on_status=on_status,
            cancel=cancel,
        )
        return _transfer(report)

    def prefetch(self, update: ModelUpdate) -> None:
        """Ask ahead for what the fetch of an announced version begins with. Never raises; returns soon."""
        artifact = update.artifact
        with suppress(ModelcastError):  # nothing rests on it
            self._fetcher(artifact.store).prefetch(
                artifact.manifest_digest,
                artifact.manifest_key,
                size_bytes=artifact.size_bytes,
                candidates=BaseCandidates(update.version, update.delta_hints, self._versions(update.model)),
            )

    def _fetcher(self, alias: str) -> Fetcher:
        with self._lock:
            if alias not in self._fetchers:
                origin = store_of(self._settings.store(alias))
                self._fetchers[alias] = Fetcher(
                    origin, self._region_store, self.cache, self._link, accelerator=self._accelerator
                )
            return self._fetchers[alias]


def _transfer(report: FetchReport) -> Transfer:
    return Transfer(
        report.bytes_moved,
        report.bytes_saved,
        report.bytes_total,
        report.stage_seconds,
        report.bytes_planned,
        report.bytes_per_second,
        report.way,
        report.kind,
        report.stage_times_us,
    )
