"""A fleet whose pods register themselves in the region's bucket."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import structlog

from modelcast.consumers.discovery.port import DiscoveryFailed, PodAddress
from modelcast.consumers.discovery.registration import (
    EXPIRY_SECONDS,
    FORGET_SECONDS,
    REGISTRATION_SIZE_MAX,
    RENEW_SECONDS,
    Registration,
    StoreClock,
)
from modelcast.infra.urls import check_url
from modelcast.schemas import keys
from modelcast.schemas.errors import ModelcastError
from modelcast.schemas.ports import ObjectInfo, ObjectStore

log = structlog.get_logger(__name__)


class RegistrationSource:
    """A ``PodSource``: the pods whose registration stands. Registrations that ended long ago are deleted.

    After an outage of the store, in which no pod could renew, those that were known have the time to do so.

    Args:
        store: the region's bucket.
        every_seconds: between two looks.
        expiry_seconds: how long a pod may be silent.
        clock: seconds, any monotonic clock.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        every_seconds: float = RENEW_SECONDS,
        expiry_seconds: float = EXPIRY_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._every = every_seconds
        self._expiry = expiry_seconds
        self._now = clock
        self._clock = StoreClock()
        self._looked_at: float | None = None  # when the last look had its answer
        self._kept_until = float("-inf")  # until then, registrations that stood go on standing
        self._read: dict[str, tuple[str, PodAddress | None]] = {}  # key: (etag, pod; None: it is no registration)

    async def look(self) -> tuple[PodAddress, ...]:
        """See ``PodSource.look``."""
        try:
            return await asyncio.to_thread(self._look)
        except ModelcastError as error:
            raise DiscoveryFailed(str(error)) from error

    async def news(self) -> tuple[PodAddress, ...] | None:
        """See ``PodSource.news``."""
        await asyncio.sleep(self._every)
        return None

    async def aclose(self) -> None:
        """See ``PodSource.aclose``."""

    def _look(self) -> tuple[PodAddress, ...]:
        listed = list(self._store.list(keys.PODS_PREFIX))
        now = self._now()  # after the answer: whatever stands in it was written before
        if self._looked_at is not None and now - self._looked_at > 2 * self._every:
            self._kept_until = now + self._expiry
        self._looked_at = now
        self._clock = self._clock.seen((info.last_modified_us for info in listed), now)
        ages = {info.key: self._clock.age_seconds(info.last_modified_us, now) for info in listed}
        kept = self._read.keys() if now <= self._kept_until else frozenset()
        standing = [info for info in listed if ages[info.key] <= self._expiry or info.key in kept]
        self._read = {info.key: (info.etag, self._pod(info)) for info in standing}
        for key, age_seconds in ages.items():
            if age_seconds > FORGET_SECONDS and key not in self._read:
                with suppress(ModelcastError):  # it is no pod either way
                    self._store.delete(key)
        return tuple(pod for _, pod in self._read.values() if pod is not None)

    def _pod(self, info: ObjectInfo) -> PodAddress | None:
        known = self._read.get(info.key)
        if known is not None and known[0] == info.etag:
            return known[1]
        found = self._store.get(info.key, size_max=REGISTRATION_SIZE_MAX)
        if found is None:
            return None
        try:
            registration = Registration.decode(found.body, key=info.key)
            check_url(registration.url, ("http", "https"))
            if keys.pod_registration(registration.name) != info.key:
                raise ValueError(f"it names {registration.name!r}")
        except (ModelcastError, ValueError) as error:
            log.warning("what lies there is no registration of a pod; it is left out", key=info.key, error=str(error))
            return None
        return registration.endpoint
