"""A fleet whose pods register themselves in the region's bucket."""

import asyncio
from contextlib import suppress

import structlog

from modelcast.consumers.discovery.leases import (
    EXPIRY_SECONDS,
    FORGET_SECONDS,
    LEASE_SIZE_MAX,
    RENEW_SECONDS,
    PodLease,
    StoreClock,
)
from modelcast.consumers.discovery.port import DiscoveryFailed, PodAddress
from modelcast.infra.urls import check_url
from modelcast.schemas import keys
from modelcast.schemas.errors import ModelcastError
from modelcast.schemas.ports import ObjectInfo, ObjectStore

log = structlog.get_logger(__name__)


class LeaseSource:
    """A ``PodSource``: the pods whose lease stands. Leases that ended long ago are deleted.

    Args:
        store: the region's bucket.
        every_seconds: between two looks.
        expiry_seconds: how long a pod may be silent.
    """

    def __init__(
        self, store: ObjectStore, *, every_seconds: float = RENEW_SECONDS, expiry_seconds: float = EXPIRY_SECONDS
    ) -> None:
        self._store = store
        self._every = every_seconds
        self._expiry = expiry_seconds
        self._clock = StoreClock()
        self._read: dict[str, tuple[str, PodAddress | None]] = {}  # key: (etag, pod; None: it is no lease)

    async def look(self) -> tuple[PodAddress, ...]:
        """See ``PodSource.look``."""
        now = asyncio.get_running_loop().time()
        try:
            return await asyncio.to_thread(self._look, now)
        except ModelcastError as error:
            raise DiscoveryFailed(str(error)) from error

    async def news(self) -> tuple[PodAddress, ...] | None:
        """See ``PodSource.news``."""
        await asyncio.sleep(self._every)
        return None

    async def aclose(self) -> None:
        """See ``PodSource.aclose``."""

    def _look(self, now: float) -> tuple[PodAddress, ...]:
        listed = list(self._store.list(keys.PODS_PREFIX))
        self._clock = self._clock.seen((info.last_modified_us for info in listed), now)
        ages = {info.key: self._clock.age_seconds(info.last_modified_us, now) for info in listed}
        standing = [info for info in listed if ages[info.key] <= self._expiry]
        self._read = {info.key: (info.etag, self._pod(info)) for info in standing}
        for key, age_seconds in ages.items():
            if age_seconds > FORGET_SECONDS:
                with suppress(ModelcastError):  # it is no pod either way
                    self._store.delete(key)
        return tuple(pod for _, pod in self._read.values() if pod is not None)

    def _pod(self, info: ObjectInfo) -> PodAddress | None:
        known = self._read.get(info.key)
        if known is not None and known[0] == info.etag:
            return known[1]
        found = self._store.get(info.key, size_max=LEASE_SIZE_MAX)
        if found is None:
            return None
        try:
            lease = PodLease.decode(found.body, key=info.key)
            check_url(lease.url, ("http", "https"))
            if keys.pod_lease(lease.name) != info.key:
                raise ValueError(f"it names {lease.name!r}")
        except (ModelcastError, ValueError) as error:
            log.warning("what lies there is no lease of a pod; it is left out", key=info.key, error=str(error))
            return None
        return lease.endpoint
