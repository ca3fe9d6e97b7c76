"""A worker's line to its region's bucket: puts get lost, arrive late, or succeed unheard; others write in between."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from modelcast.infra.stores.memory import MemoryStore
from modelcast.schemas.errors import StoreUnavailable
from modelcast.schemas.ports import ObjectInfo, PreconditionFailed, StoredObject
from tests.simulation.actors.stepwise import in_one_go, stop_here

if TYPE_CHECKING:
    from tests.simulation.actors.worker import Worker

TIMED_OUT = "timed out"


class Line(MemoryStore):
    """The bucket as one worker reaches it."""

    def __init__(self, worker: Worker) -> None:
        self._worker, self._world, self._bucket = worker, worker.world, worker.region.bucket

    @property
    def name(self) -> str:
        """The bucket's."""
        return self._bucket.name

    def get(self, key: str, *, size_max: int) -> StoredObject | None:
        """See ``ObjectStore.get``."""
        stop_here()
        if self._world.fault("state read failed", self._worker.region):
            raise StoreUnavailable("no answer", subject=key)
        return self._bucket.get(key, size_max=size_max)

    def put(self, key: str, body: bytes, *, if_absent: bool = False, if_match: str | None = None) -> ObjectInfo:
        """See ``ObjectStore.put``."""
        stop_here()
        region = self._worker.region

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
            raise StoreUnavailable(TIMED_OUT, subject=key)
        if self._world.fault("state put late", region):
            self._world.after(self._world.rng.uniform(0.1, 40.0), arrives_late)
            raise StoreUnavailable(TIMED_OUT, subject=key)
        try:
            info = arrives()
        except PreconditionFailed:
            self._world.stats["state put refused"] += 1
            raise
        if self._world.fault("state put answer lost", region):
            raise StoreUnavailable(TIMED_OUT, subject=key)
        return info
