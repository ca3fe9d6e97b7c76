"""Kafka: announcements and acks that are dropped, doubled, late, replayed, or lost whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelcast.schemas import keys
from modelcast.schemas.ack_headers import AckHeaders
from modelcast.schemas.codec import encode
from modelcast.schemas.records import ModelAck, PodReport
from modelcast.schemas.region_memory import Memory
from modelcast.schemas.states import PodState, State
from modelcast.schemas.topics import RECORD_SIZE_MAX, Topic, partition_of
from tests.simulation.convergence import memory_of

if TYPE_CHECKING:
    from tests.simulation.actors.region import Region
    from tests.simulation.actors.worker import Worker
    from tests.simulation.world import World

AGAIN_SECONDS = 5.0
FLOOD = 100
NEVER_REACHED = 100
"""A region does not get so many owners in one world."""
MADE_UP_VERSION, MADE_UP_DIGEST = 77, "sha256:" + "7" * 64
FORGER = "nobody"
HOUR_US = 3_600_000_000


@dataclass(frozen=True, slots=True)
class Kept:
    """A record of a topic, as Faust hands it over."""

    topic: str
    key: bytes | None
    value: bytes | None
    partition: int
    offset: int
    timestamp: float
    headers: Mapping[str, bytes]


@dataclass(eq=False, slots=True)
class Lie:
    """A forged report that nothing tells from a true one but the next true one."""

    region: str
    epoch: int
    put_at_us: int
    refuted_at: int | None = None  # the offset of the first true report that was written later


class Kafka:
    """The cluster. Delivery is at least once to whoever has the partition, unless a fault says otherwise."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.announced: list[int] = []
        self.topics: dict[Topic, list[Kept]] = {Topic.MODEL_ACKS: [], Topic.MODEL_UPDATES: []}
        self.heartbeats: dict[bytes | None, Kept] = {}  # the newest of each worker: the topic is compacted
        self.beats = 0  # heartbeats so far
        self.changelog: dict[bytes, bytes] = {}  # of the tracker's table
        self.version_state: bytes | None = None  # the newest
        self.unchanged: bytes | None = None  # what was told last of states that had not changed
        self.cluster = 0
        self.lies: dict[tuple[str, int], Lie] = {}  # the last one under each epoch of a region

    def announce(self, generation: int) -> None:
        """Say that ``generation`` is claimed."""
        self.world.trace("kafka", f"generation {generation} announced")
        self.announced.append(generation)
        found = self.world.origin.get(keys.log_entry(self.world.model, generation), size_max=RECORD_SIZE_MAX)
        for region in self.world.regions:
            self._deliver("announcement", region, lambda r=region: self._to_region(r, generation))
        if found is not None:  # else the log was restored from an older copy
            self._deliver("announcement", None, lambda: self.append(Topic.MODEL_UPDATES, found.body))

    def say_ack(self, region: Region, ack: ModelAck, raw: bytes, headers: Mapping[str, bytes]) -> None:
        """A page of a region's snapshot, to the tracker."""
        self.world.checks.ack_sent(ack)
        self._deliver("ack", region, lambda: self._ack_arrives(ack, raw, headers))

    def _ack_arrives(self, ack: ModelAck, raw: bytes, headers: Mapping[str, bytes]) -> None:
        lie = self.lies.get((ack.region, ack.epoch))
        if lie is not None and lie.refuted_at is None and ack.reported_at_us > lie.put_at_us:
            lie.refuted_at = len(self.topics[Topic.MODEL_ACKS])
        self.append(Topic.MODEL_ACKS, raw, headers)

    def say_beat(self, region: Region, key: str, raw: bytes) -> None:
        """A worker of a region says that it is alive."""
        self.beats += 1
        beat = Kept(str(Topic.REGION_HEARTBEATS), key.encode(), raw, 0, self.beats, self.world.now, {})
        self.heartbeats[beat.key] = beat
        self.world.trackers.heard_of(region.name, beat)

    def append(self, topic: Topic, raw: bytes, headers: Mapping[str, bytes] | None = None, *, key: str = "") -> None:
        """A record stands in the topic; ``key``: its model, if that is not the world's."""
        model, records = key or self.world.model, self.topics[topic]
        at = partition_of(model), len(records), self.world.now
        records.append(Kept(str(topic), model.encode(), raw, *at, headers or {}))
        self.world.trackers.told_of_news()

    def forge_ack(self) -> None:
        """Somebody who may write says that a region serves what it never did, and numbers it so that it counts."""
        rng, regions = self.world.rng, self.world.regions
        region = rng.choice(regions)
        # None that comes true before it is read: under a true epoch nothing tells a forged report from a real one.
        soon = (memory_of(self.world, region) or Memory("", "", "")).epoch + NEVER_REACHED
        epoch = rng.choice([2**62, 2**40, soon])
        self.forge(region.name, epoch)

    def forge_under_the_true_epoch(self) -> bool:
        """As ``forge_ack``, but the region has just this epoch; the number, and the time, may be any."""
        world, rng = self.world, self.world.rng
        region = rng.choice(world.regions)
        if (memory := memory_of(world, region)) is None:
            return False
        lie = self.lies[region.name, memory.epoch] = Lie(region.name, memory.epoch, world.now_us)
        number, ahead_us = rng.choice([2**62, rng.randint(1, 200)]), rng.choice([0, HOUR_US])
        world.trace("kafka", f"FORGED report {number} of {region.name} under its epoch {memory.epoch}")
        self.forge(region.name, memory.epoch, number, ahead_us)
        world.deadlines.lie_was_put(region, lie)
        return True

    def flood(self) -> None:
        """Acks of regions that nobody has ever heard of."""
        for number in range(FLOOD):
            self.forge(f"made-up-{number}", 1)

    def forge(self, region: str, epoch: int, number: int = 1, ahead_us: int = 0, *, model: str = "") -> None:
        """Put a report that ``region`` never sent; ``model``: of another model than the world's."""
        world = self.world
        pods = tuple(
            PodReport(f"{region}/pod{n}", PodState.SERVING, MADE_UP_VERSION, MADE_UP_DIGEST, 1, "forged", world.now_us)
            for n in range(2)
        )
        ack = ModelAck(
            world.registry_id, model or world.model, region, FORGER, epoch, number, 0, 1, 1, MADE_UP_VERSION,
            MADE_UP_DIGEST, State.SERVING, world.now_us + ahead_us, pods=pods, pods_expected=2,
        )  # fmt: skip
        self.append(Topic.MODEL_ACKS, encode(ack), AckHeaders.of(ack).written(), key=model)

    def replay(self) -> None:
        """Everybody reads the topic from its beginning."""
        self.world.trace("kafka", "TOPIC REPLAYED")
        for generation in list(self.announced):
            for region in self.world.regions:
                self.world.after(self.world.rng.uniform(0, 3), lambda r=region, g=generation: self._to_region(r, g))
        self.world.trackers.committed.clear()

    def lose_all(self) -> None:
        """The cluster's data is gone, with what was on its way."""
        self.world.trace("kafka", "ALL DATA LOST")
        self.cluster += 1
        self.announced.clear()
        self.heartbeats.clear()
        self.changelog.clear()
        self.version_state = self.unchanged = None
        for lie in self.lies.values():
            lie.refuted_at = None
        for records in self.topics.values():
            records.clear()
        self.world.trackers.topics_lost()

    def redeliver(self, worker: Worker) -> None:
        """Its group has committed less than was read: the newest announcement comes once more."""
        if self.announced and self.world.fault("announcement redelivered", worker.region):
            generation = self.announced[-1]
            worker.later(self.world.rng.uniform(0.0, 0.3), lambda: worker.hears_of(generation))

    def _to_region(self, region: Region, generation: int) -> None:
        worker = region.assignee
        # One that has not heard yet of its revocation goes on reading, and may be the first to read.
        others = [other for other in region.workers if other is not worker and other.hears_of(generation)]
        late = bool(others) and self.world.fault("announcement read late", region)
        if late or worker is None or not worker.hears_of(generation):
            cluster = self.cluster
            self.world.after(
                AGAIN_SECONDS, lambda: self._to_region(region, generation) if cluster == self.cluster else None
            )

    def _deliver(self, what: str, region: Region | None, action: Callable[[], None]) -> None:
        world, cluster = self.world, self.cluster

        def arrive() -> None:
            if cluster == self.cluster:
                action()

        if world.fault(f"{what} dropped", region):
            return
        for _ in range(2 if world.fault(f"{what} doubled", region) else 1):
            late = world.fault(f"{what} late", region)
            world.after(world.rng.uniform(1.0, 30.0) if late else world.rng.uniform(0.005, 0.05), arrive)
