"""A region: its bucket, disk and pods, the group that its workers are in, and the modelled fetch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from modelcast.agents.region.decider.memory import Memory
from modelcast.agents.region.decider.values import Event, Fetched, FetchFailed, Transfer
from modelcast.infra.stores.memory import MemoryStore
from modelcast.schemas.ports import ObjectInfo
from tests.simulation import artifacts
from tests.simulation.actors.pod import Pod
from tests.simulation.actors.worker import Worker

if TYPE_CHECKING:
    from modelcast.schemas.records import ModelUpdate
    from tests.simulation.world import World

SESSION_SECONDS = 10.0


class Bucket(MemoryStore):
    """The region's bucket: every write of the state is checked as it lands."""

    def __init__(self, region: Region) -> None:
        super().__init__(region.name, now_us=lambda: int(region.world.now * 1e6))
        self._region = region

    def put(self, key: str, body: bytes, *, if_absent: bool = False, if_match: str | None = None) -> ObjectInfo:
        """See ``MemoryStore.put``."""
        before = self._objects.get(key)
        info = super().put(key, body, if_absent=if_absent, if_match=if_match)
        old = Memory.decode(before.body) if before else None
        self._region.world.checks.state_written(self._region, old, Memory.decode(body))
        return info


class Region:
    """One region."""

    def __init__(self, world: World, name: str, *, clean: bool, workers: int, pods: int, plain: int) -> None:
        self.world, self.name, self.clean = world, name, clean
        self.touched: Counter[str] = Counter()  # faults that hurt it
        self.bucket = Bucket(self)
        self.artifacts: dict[str, artifacts.Stored] = {}  # in the region's bucket
        self.cache: dict[str, artifacts.Stored] = {}  # on its disk; pods load from here
        self.long_link: Counter[str] = Counter()  # transfers from the origin, by digest
        self.proves = world.rng.random() < 0.5  # as the real shell does; without, only the fence holds
        self.pods_ask_bucket = world.rng.random() < 0.5
        self.pods = [Pod(self, f"{name}/pod{i}", plain=i < plain) for i in range(pods)]
        self.workers = [Worker(self, f"{name}/w{i}") for i in range(workers)]
        self.members: list[Worker] = []  # those that the group's coordinator believes in
        self.assignee: Worker | None = None
        self.number = 0  # of the assignment
        self.assigned_at = {0: 0.0}  # when the coordinator decided each
        for worker in self.workers:
            worker.start()

    def pod(self, name: str) -> Pod:
        """By name."""
        return next(pod for pod in self.pods if pod.name == name)

    @property
    def owner(self) -> Worker | None:
        """The worker that owns the model and may act."""
        owners = [w for w in self.workers if w.up and not w.paused and w.own]
        return max(owners, key=lambda w: w.own.epoch if w.own else 0, default=None)

    # --- the group coordinator ----------------------------------------------------------------------------

    def joined(self, worker: Worker) -> None:
        """A worker (re)joins; now and then this moves the partition."""
        if worker not in self.members:
            self.members.append(worker)
        moves = not self.clean and self.world.rng.random() < 0.4
        if self.assignee is None or self.assignee is worker or moves:
            self.assign(worker)

    def lost(self, worker: Worker) -> None:
        """A worker's session has ended."""
        if worker in self.members:
            self.members.remove(worker)
        if self.assignee is worker:
            self.assign(self.world.rng.choice(self.members) if self.members else None)

    def assign(self, worker: Worker | None) -> None:
        """The partition is ``worker``'s. Who had it hears of that sometime."""
        before, self.assignee = self.assignee, worker
        self.number += 1
        self.assigned_at[self.number] = self.world.now
        self.world.trace(self.name, f"partition: {before and before.name} -> {worker and worker.name}")
        if before is not None and before is not worker:
            late = self.world.fault("revocation late", self)
            delay = self.world.rng.uniform(5.0, 40.0) if late else self.world.rng.uniform(0.0, 0.5)
            number = self.number
            before.hears(delay, lambda: before.revoked(number))
        if worker is not None:
            number = self.number
            worker.hears(self.world.rng.uniform(0.0, 1.0), lambda: worker.assigned(number))

    # --- fetching -----------------------------------------------------------------------------------------

    def fetch(self, update: ModelUpdate, wanted: Callable[[], bool], done: Callable[[Event], None]) -> None:
        """Bring an artifact to the disk: from the disk itself, the region's bucket, or over the long link."""
        digest, rng = update.artifact.manifest_digest, self.world.rng
        held = self.cache.get(digest)
        if held is not None and artifacts.digest_of(held.data) != digest:
            del self.cache[digest]
        near = self.artifacts.get(digest)
        if near is not None and artifacts.digest_of(near.data) != digest:
            del self.artifacts[digest]
            near = None
        if digest in self.cache:
            size = update.artifact.size_bytes
            transfer = Transfer(0, size, size)
            self.world.after(
                rng.uniform(0.05, 0.2), lambda: self._arrived(digest, self.cache.get(digest), transfer, done)
            )
        elif near is not None:
            size = update.artifact.size_bytes
            transfer = Transfer(0, size, size)
            self.world.after(rng.uniform(0.1, 0.5), lambda: self._arrived(digest, near, transfer, done))
        else:
            seconds = rng.uniform(30.0, 60.0) if self.world.fault("fetch slow", self) else rng.uniform(0.5, 4.0)
            self.world.after(seconds, lambda: self._crossed(update, wanted, done))

    def _crossed(self, update: ModelUpdate, wanted: Callable[[], bool], done: Callable[[Event], None]) -> None:
        digest, size = update.artifact.manifest_digest, update.artifact.size_bytes
        if not wanted():
            done(FetchFailed(digest, "cancelled", cancelled=True))
            return
        if self.world.fault("fetch failed", self):
            done(FetchFailed(digest, "connection reset"))
            return
        self.long_link[digest] += 1
        stored = self.world.origin.artifacts[digest]
        if self.world.fault("fetch damaged in transit", self):
            stored = stored.damaged(self.world.rng.randrange(64))
        self._arrived(digest, stored, Transfer(size, 0, size), done)

    def _arrived(
        self, digest: str, stored: artifacts.Stored | None, transfer: Transfer, done: Callable[[Event], None]
    ) -> None:
        if stored is None:
            done(FetchFailed(digest, "evicted meanwhile"))
            return
        actual = artifacts.digest_of(stored.data)
        if actual == digest:
            self.cache[digest] = self.artifacts[digest] = stored
        done(Fetched(digest, actual, transfer))
