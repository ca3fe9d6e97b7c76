"""What a serving pod is wired to: the artifacts of its region, and what the region should serve."""

import functools
from collections.abc import Sequence
from pathlib import Path

from modelcast.consumers.fetch import Link, RegionalArtifacts
from modelcast.consumers.pod.config import Aspired
from modelcast.consumers.pod_clients.port import LoadOrder
from modelcast.infra.settings import RegionSettings, StoreSettings
from modelcast.infra.stores.configured import store_of
from modelcast.schemas import keys
from modelcast.schemas.region_memory import MEMORY_SIZE_MAX, Memory


def make_source(region: RegionSettings, cache_dir: Path) -> RegionalArtifacts:
    """An ``ArtifactSourceFactory`` once its arguments are bound; called in the pod's worker processes.

    A pod reads its machine's cache and its region's own bucket, never the origin.
    """
    open_region = functools.partial(store_of, region.store) if region.store else None
    link = Link(readers=region.fetch_threads)
    return RegionalArtifacts(cache_dir, open_region, region.cache_size_max_bytes, link)


class RegionAspired:
    """An ``AspiredSource``: the region's state objects say what it served last."""

    def __init__(self, store: StoreSettings) -> None:
        self._settings = store

    def aspired(self) -> Sequence[Aspired]:
        """What each model should serve, also where its version was quarantined since.

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
                order = LoadOrder(
                    model=memory.model,
                    version=served.version,
                    manifest_digest=served.manifest_digest,
                    generation=served.generation,
                    epoch=memory.epoch,
                    registry_id=memory.registry_id,
                )
                orders.append(Aspired(order, memory.refusal, frozenset(memory.log_quarantined)))
        return orders
