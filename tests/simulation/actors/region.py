"""A region: its bucket, disk and pods, the group that its workers are in, and the modelled fetch."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from modelcast.agents.region.decider.events_and_effects import Transfer
from modelcast.consumers.fetch import FetchCancelled, FetchStatus
from modelcast.infra.stores.memory_store import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.errors import StoreUnavailable, VerificationFailed
from modelcast.schemas.ports import ObjectInfo
from modelcast.schemas.region_memory import Memory
from tests.simulation import artifacts
from tests.simulation.actors.fleet import Fleet
from tests.simulation.actors.group import Group
from tests.simulation.actors.pod import Pod
from tests.simulation.actors.worker import Worker
from tests.simulation.time.stepwise import wait_here

if TYPE_CHECKING:
    from modelcast.schemas.records import ModelUpdate
    from tests.simulation.world import World

DISK_BYTES = 1 << 30


class Bucket(MemoryStore):
    """The region's bucket: every write of the state is checked as it lands."""

    def __init__(self, region: Region) -> None:
        super().__init__(region.name, now_us=lambda: int(region.world.now * 1e6))
        self._region = region

    def put(self, key: str, body: bytes, *, if_absent: bool = False, if_match: str | None = None) -> ObjectInfo:
        """See ``MemoryStore.put``."""
        before = self._objects.get(key)
        info = super().put(key, body, if_absent=if_absent, if_match=if_match)
        if key.startswith(keys.STATE_PREFIX):
            old = Memory.decode(before.body) if before else None
            self._region.world.checks.state_written(self._region, old, Memory.decode(body))
        return info


class Region(Group[Worker]):
    """One region; its workers are one group."""

    def __init__(self, world: World, name: str, *, clean: bool, workers: int, pods: int, plain: int) -> None:
        super().__init__(world, name, steady=clean, hurt=self)
        self.clean = clean
        self.touched: Counter[str] = Counter()  # faults that hurt it
        self.bucket = Bucket(self)
        self.artifacts: dict[str, artifacts.Stored] = {}  # in the region's bucket
        self.cache: dict[str, artifacts.Stored] = {}  # on its disk; pods load from here
        self._coming: set[str] = set()  # digests that are being fetched
        self.long_link: Counter[str] = Counter()  # transfers from the origin, by digest
        self.proves = world.rng.random() < 0.5  # as the real shell does; without, only the fence holds
        self.pods_ask_bucket = world.rng.random() < 0.5
        self.trouble = world.rng.choice(["request_refused", "unsupported", "not_delivered", "out_of_resources"])
        self.fleet = Fleet(self, pods=pods, plain=plain, discovered=world.rng.random() < 0.5)
        self.workers = [Worker(self, f"{name}/w{i}") for i in range(workers)]

    def begin(self) -> None:
        """Start the workers."""
        for worker in self.workers:
            worker.start()

    @property
    def pods(self) -> list[Pod]:
        """Those that there are now."""
        return list(self.fleet.pods.values())

    def used_bytes(self) -> int:
        """Of its disk; see ``MeasuredDisk``."""
        return sum(len(stored.data) for stored in self.cache.values())

    def disk_free_bytes(self) -> int:
        """See ``MeasuredDisk``."""
        return DISK_BYTES - self.used_bytes()

    @property
    def owner(self) -> Worker | None:
        """The worker that owns the model and may act."""
        owners = [w for w in self.workers if w.up and not w.paused and w.replica]
        return max(owners, key=lambda w: w.epoch, default=None)

    # --- fetching -----------------------------------------------------------------------------------------

    def fetch(self, update: ModelUpdate, cancel: threading.Event, on_status: Callable[[FetchStatus], None]) -> Transfer:
        """Bring an artifact to the disk: from the disk itself, the region's bucket, or over the long link.

        See ``Artifacts``: what it says to have brought was verified.
        """
        digest = update.artifact.manifest_digest
        while digest in self._coming:  # one artifact is fetched by one caller at a time
            wait_here(0.5)
            if cancel.is_set():
                raise FetchCancelled("not wanted any more")
        self._coming.add(digest)
        try:
            return self._fetch(update, cancel, on_status)
        finally:
            self._coming.discard(digest)

    def _fetch(
        self, update: ModelUpdate, cancel: threading.Event, on_status: Callable[[FetchStatus], None]
    ) -> Transfer:
        digest, size, rng = update.artifact.manifest_digest, update.artifact.size_bytes, self.world.rng
        for place in (self.cache, self.artifacts):
            if (found := place.get(digest)) is not None and artifacts.digest_of(found.data) != digest:
                del place[digest]
        near = self.artifacts.get(digest)
        if digest in self.cache:
            wait_here(rng.uniform(0.05, 0.2))
            stored, transfer = self.cache.get(digest), Transfer(0, size, size)
        elif near is not None:
            wait_here(rng.uniform(0.1, 0.5))
            stored, transfer = near, Transfer(0, size, size)
        else:
            self._wait_for_the_link(size, cancel, on_status)
            self.long_link[digest] += 1
            stored, transfer = self.world.origin.artifacts[digest], Transfer(size, 0, size)
            if self.world.fault("fetch damaged in transit", self):
                stored = stored.damaged(rng.randrange(64))
        if stored is None:
            raise StoreUnavailable("evicted meanwhile", subject=digest)
        if not artifacts.is_intact(stored, digest):
            self.world.stats["damaged bytes found by the region"] += 1
            self.world.blame(self, digest)
            raise VerificationFailed("arrived as other bytes", subject=digest)
        self.world.checks.staged(self, digest, stored)
        self.cache[digest] = self.artifacts[digest] = stored
        return transfer

    def _wait_for_the_link(self, size: int, cancel: threading.Event, on_status: Callable[[FetchStatus], None]) -> None:
        rng = self.world.rng
        seconds = rng.uniform(30.0, 60.0) if self.world.fault("fetch slow", self) else rng.uniform(0.5, 4.0)
        owner = self.owner
        if owner is not None and self.world.fault("worker stopped in a fetch", self):
            self.world.after(seconds / 4, owner.stop)
        for part in (1, 2):
            wait_here(seconds / 2)
            on_status(FetchStatus(part * size // 2, size, size / seconds, "whole"))
        if cancel.is_set():
            raise FetchCancelled("not wanted any more")
        if self.world.fault("fetch failed", self):
            raise StoreUnavailable("connection reset")
