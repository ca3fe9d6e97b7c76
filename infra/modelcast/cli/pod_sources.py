"""What a serving pod is wired to: the artifacts of its region, and what the region wants served."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from modelcast.agents.region.memory import MEMORY_SIZE_MAX, Memory
from modelcast.consumers.fetch.cache import ArtifactCache
from modelcast.consumers.fetch.fetcher import Fetcher
from modelcast.consumers.pod.artifacts import ArtifactMissing
from modelcast.consumers.pods.port import LoadOrder
from modelcast.infra.settings import RegionSettings, StoreSettings
from modelcast.infra.stores.configured import store_of
from modelcast.schemas import keys
from modelcast.schemas.errors import NotFound


class RegionArtifacts:
    """An ``ArtifactSource``: the machine's cache, filled from the region's own bucket. Never from the origin."""

    def __init__(self, region: RegionSettings, cache_dir: Path) -> None:
        self._cache = ArtifactCache(cache_dir, region.cache_size_max_bytes)
        self._fetcher = Fetcher(store_of(region.store), None, self._cache) if region.store else None

    @contextmanager
    def open(self, manifest_digest: str) -> Iterator[Path]:
        """See ``ArtifactSource.open``."""
        if not self._cache.has(manifest_digest) and self._fetcher is not None:
            try:
                self._fetcher.fetch(manifest_digest)
            except NotFound as error:
                raise ArtifactMissing(error.message, subject=error.subject, hint=error.hint) from None
        with self._cache.open(manifest_digest, verify=True) as folder:
            yield folder


def make_source(region: RegionSettings, cache_dir: Path) -> RegionArtifacts:
    """An ``ArtifactSourceFactory`` once its arguments are bound; called in the pod's worker processes."""
    return RegionArtifacts(region, cache_dir)


class RegionDesired:
    """A ``DesiredSource``: the region's state objects say what it served last."""

    def __init__(self, store: StoreSettings) -> None:
        self._settings = store

    def desired(self) -> Sequence[LoadOrder]:
        """One order a model that the region serves.

        Raises:
            StoreUnavailable: the bucket did not answer.
            ContentError: a state object is damaged.
        """
        store = store_of(self._settings)
        orders = []
        for info in store.list(keys.STATE_PREFIX):
            found = store.get(info.key, size_max=MEMORY_SIZE_MAX)
            memory = Memory.decode(found.body, key=info.key) if found else None
            if memory and (served := memory.served):
                orders.append(
                    LoadOrder(
                        model=memory.model,
                        version=served.version,
                        manifest_digest=served.manifest_digest,
                        generation=served.generation,
                        epoch=memory.epoch,
                        registry_id=memory.registry_id,
                    )
                )
        return orders
