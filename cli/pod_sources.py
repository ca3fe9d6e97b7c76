"""What a serving pod is wired to: the artifacts of its region, and what the region wants served."""

import functools
import secrets
from collections.abc import Sequence
from pathlib import Path

from modelcast.agents.region.decider.memory import MEMORY_SIZE_MAX, Memory
from modelcast.consumers.discovery.leases import PodLease
from modelcast.consumers.discovery.registration import Registration
from modelcast.consumers.fetch import Link, RegionalArtifacts, as_set
from modelcast.consumers.pod.config import Desired
from modelcast.consumers.pod_clients.port import LoadOrder
from modelcast.infra.settings import RegionSettings, StoreSettings
from modelcast.infra.stores.configured import store_of
from modelcast.infra.urls import check_url
from modelcast.schemas import keys
from modelcast.schemas.errors import UsageError

NAME_CHARS_MAX = 200


def make_source(region: RegionSettings, cache_dir: Path) -> RegionalArtifacts:
    """An ``ArtifactSourceFactory`` once its arguments are bound; called in the pod's worker processes.

    A pod reads its machine's cache and its region's own bucket, never the origin.
    """
    open_region = functools.partial(store_of, region.store) if region.store else None
    link = Link(readers=region.fetch_threads, direct_writes=as_set(region.direct_writes))
    return RegionalArtifacts(cache_dir, open_region, region.cache_size_max_bytes, link)


class RegionDesired:
    """A ``DesiredSource``: the region's state objects say what it served last."""

    def __init__(self, store: StoreSettings) -> None:
        self._settings = store

    def desired(self) -> Sequence[Desired]:
        """One a model that the region serves, also where its version was quarantined since.

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
                orders.append(Desired(order, memory.refusal))
        return orders


def make_presence(region: RegionSettings, region_name: str, name: str, url: str) -> Registration:
    """What registers a pod in its region's bucket.

    Args:
        region: the region's settings.
        region_name: for messages.
        name: the pod's.
        url: where the region reaches it.

    Raises:
        UsageError: name or URL make no sense, or the region has no bucket.
    """
    if region.store is None:
        raise UsageError(
            "a pod registers itself in its region's bucket, and the settings name none",
            hint=f"set MODELCAST_REGIONS__{region_name.upper()}__STORE__URL, or leave --advertise out",
        )
    if not name.isprintable() or "/" in name or len(name) > NAME_CHARS_MAX:
        raise UsageError(f"bad pod name {name!r}", hint="a registered pod's name has up to 200 characters and no slash")
    try:
        check_url(url, ("http", "https"))
    except ValueError as error:
        raise UsageError(f"--advertise {url!r}: {error}", hint="as the region's workers reach this pod") from None
    return Registration(store_of(region.store), PodLease(name, url.rstrip("/"), secrets.token_hex(8)))
