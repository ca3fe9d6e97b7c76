"""A worker's lines to the stores: requests get lost, arrive late, or succeed unheard; others write in between."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from modelcast.infra.stores.memory_store import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.errors import StoreUnavailable
from modelcast.schemas.ports import ObjectInfo, PreconditionFailed, StoredObject
from tests.simulation.time.stepwise import in_one_go, wait_here

if TYPE_CHECKING:
    from tests.simulation.actors.process import Process
    from tests.simulation.actors.worker import Worker

TIMEOUT_SECONDS = 10.0


class BucketLine(MemoryStore):
    """The region's bucket as one worker reaches it."""

    def __init__(self, worker: Worker) -> None:
        self._worker, self._world, self._bucket = worker, worker.world, worker.region.bucket

    @property
    def name(self) -> str:
        """The bucket's."""
        return self._bucket.name

    def get(self, key: str, *, size_max: int) -> StoredObject | None:
        """See ``ObjectStore.get``."""
        wait_here(0.0)
        if self._world.fault("state read failed", self._worker.region):
            wait_here(0.1)
            raise StoreUnavailable("no answer", subject=key)
        if self._world.fault("state read slow", self._worker.region):
            wait_here(self._world.rng.uniform(2.0, 20.0))
        return self._bucket.get(key, size_max=size_max)

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectInfo]:
        """See ``ObjectStore.list``."""
        return self._bucket.list(prefix, start_after=start_after)

    def put(self, key: str, body: bytes, *, if_absent: bool = False, if_match: str | None = None) -> ObjectInfo:
        """See ``ObjectStore.put``."""
        wait_here(0.0)
        region = self._worker.region
        slow = self._world.rng.uniform(2.0, 20.0) if self._world.fault("state put slow", region) else 0.0
        claims = self._worker.replica is None and key.startswith(keys.STATE_PREFIX)
        if claims and self._world.fault("published during a claim", region):
            slow = self._world.rng.uniform(2.0, 10.0)
            self._world.after(slow / 2, self._world.publishers.act)  # whom it replaces may still hear of that
        if slow:
            wait_here(slow)

        def arrives() -> ObjectInfo:
            return self._bucket.put(key, body, if_absent=if_absent, if_match=if_match)

        def arrives_late() -> None:
            with suppress(PreconditionFailed):
                arrives()
                self._world.stats["late state put written"] += 1

        others = [worker for worker in region.workers if worker is not self._worker and worker.up and not worker.paused]
        if others and self._world.fault("state written by another in between", region):
            with suppress(StoreUnavailable), in_one_go():
                self._world.rng.choice(others).take_unasked()
        if self._world.fault("state put lost", region):
            raise self._timed_out(key)
        if self._world.fault("state put late", region):
            self._world.after(self._world.rng.uniform(0.1, 40.0), arrives_late)
            raise self._timed_out(key)
        try:
            info = arrives()
        except PreconditionFailed:
            self._world.stats["state put refused"] += 1
            raise
        if self._world.fault("state put answer lost", region):
            raise self._timed_out(key)
        return info

    @staticmethod
    def _timed_out(key: str) -> StoreUnavailable:
        wait_here(TIMEOUT_SECONDS)
        return StoreUnavailable("timed out", subject=key)


class OriginLine(MemoryStore):
    """The origin store as one process reads it."""

    def __init__(self, process: Process) -> None:
        self._process, self._world, self._origin = process, process.world, process.world.origin

    @property
    def name(self) -> str:
        """The store's."""
        return self._origin.name

    def get(self, key: str, *, size_max: int) -> StoredObject | None:
        """See ``ObjectStore.get``."""
        if keys.parse_log_entry(key) is not None:
            self._fails_or_waits(key)
        return self._origin.get(key, size_max=size_max)

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectInfo]:
        """See ``ObjectStore.list``."""
        self._world.floods.looked(self._process, prefix)
        self._fails_or_waits(prefix)
        return self._origin.list(prefix, start_after=start_after)

    def head(self, key: str) -> ObjectInfo | None:
        """See ``ObjectStore.head``."""
        self._fails_or_waits(key)
        return self._origin.head(key)

    def folders(self, prefix: str) -> Iterator[str]:
        """See ``ObjectStore.folders``."""
        self._world.floods.looked(self._process, prefix)
        return self._origin.folders(prefix)

    def _fails_or_waits(self, subject: str) -> None:
        wait_here(0.0)
        if self._world.fault("log read failed", self._process.hurt):
            raise StoreUnavailable("no answer", subject=subject)
        if self._world.fault("log read slow", self._process.hurt):
            wait_here(self._world.rng.uniform(3.0, 20.0))
