"""One simulated world: everything in it, drawn from one seed.

The region's agent with its shell, roster of pods, heartbeats and reporter, the tracker's agent, the pod's fence, and
the registry's reader and claim are production code. Modelled are Kafka and its groups (``actors/kafka.py``,
``group.py``), what Faust does with them (positions, commits, rebalances: ``actors/tracker.py``;
``tests/infra/kafka/test_faust_positions.py`` tests the real ones), transfers of artifacts (``actors/region.py``), pods
that come and go (``actors/fleet.py``), and the stores below their ports.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection

from modelcast.agents.region.decider.policy import Policy
from modelcast.schemas import keys
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.log.chain import StatedEntry, origin_digest
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.log.statements import state
from modelcast.schemas.records import ArtifactRef, Entry, ModelUpdate
from tests.simulation.actors.floods import Floods
from tests.simulation.actors.kafka import Kafka
from tests.simulation.actors.origin import Origin, Reader
from tests.simulation.actors.pod import Pod
from tests.simulation.actors.process import Process
from tests.simulation.actors.publisher import Publishers
from tests.simulation.actors.region import Region
from tests.simulation.actors.rewriting import Rewriting
from tests.simulation.actors.tracker import Trackers
from tests.simulation.actors.tracker_lines import Redis
from tests.simulation.convergence import memory_of
from tests.simulation.deadlines import Deadlines
from tests.simulation.faults import FLEET_STROKES, GLOBAL_STROKES, HARMLESS, Faults
from tests.simulation.invariants import ONE_LOG, Checks
from tests.simulation.rollout_users import Rollouts
from tests.simulation.rollovers import drawn_policy
from tests.simulation.time.scheduler import Scheduler

Trace = Callable[[str], None]
ACCEPTED_AFTER_PEACE_SECONDS = 200.0
"""When a person ends every alarm about the log that is left."""


class World:
    """The stores, Kafka, regions, pods, publishers and the tracker; and what is true of them.

    Args:
        seed: all is drawn from it.
        trace: takes a line for each event.
        only: the faults that it has; none: a drawn part of all.
    """

    model, neighbour = "fraud", "neighbour"  # regions own the first only
    registry_id = "registry-of-this-world"

    def __init__(self, seed: int, trace: Trace | None = None, only: Collection[str] = ()) -> None:
        self.seed = seed
        self.rng = rng = random.Random(seed)
        self.scheduler = Scheduler()
        self.stats: Counter[str] = Counter()
        self._trace = trace
        self.restarting = False
        self.stop_at = rng.uniform(60.0, 150.0)
        self.faults = Faults.drawn(rng, self.stop_at, only)
        self.poison = rng.choice([0.0, 0.0, 0.1, 0.3])
        self.operator_mends = rng.random() < 0.5
        self.policy = Policy(read_every=rng.choice([5.0, 10.0, 20.0]), backoff_max=rng.choice([10.0, 30.0]),
                             rollover=drawn_policy(rng, seed))  # fmt: skip
        self.published: dict[str, bytes] = {}  # digest -> the intact bytes
        self.blames: Counter[tuple[str, str]] = Counter()  # region, digest: how often the version itself was at fault
        self.truth = ModelLog(self.model, self.registry_id)  # what stands in the store, or should
        self.ever: set[tuple[int, str]] = set()  # (version, digest) of all that was ever published
        self.checks = Checks(self)
        self.deadlines = Deadlines(self)
        self.origin = Origin(self)
        self.reader = Reader(self.origin)
        self.kafka = Kafka(self)
        self.floods = Floods(self)
        self.regions: list[Region] = []
        self.pods: list[Pod] = []  # also those that have left and still answer
        self.publishers = Publishers(self)
        self._found_regions()
        self.redis = Redis(self)
        self.trackers = Trackers(self)
        self.rewriting = Rewriting(self)
        self.rollouts = Rollouts(self, only)

    def _found_regions(self) -> None:
        rng = self.rng
        for name in ("eu", "us", "ap")[: rng.randint(1, 3)]:
            clean = len(self.regions) > 0 and rng.random() < 0.3
            plain = 1 if not clean and rng.random() < 0.2 else 0
            self.regions.append(Region(self, name, clean=clean, workers=rng.randint(1, 2), pods=2, plain=plain))

    def begin(self) -> None:
        """Start everything, and plan what is to go wrong."""
        rng = self.rng
        if len(self.models) > 1:
            self._publish_the_neighbour()
        for region in self.regions:
            region.begin()
        self.trackers.begin()
        self.rollouts.begin()
        self.after(rng.uniform(0.0, 3.0), self.publishers.act)
        self.after(self.stop_at + ACCEPTED_AFTER_PEACE_SECONDS, self.rewriting.accept)
        for _ in range(rng.randint(1, 9)):
            self.after(rng.uniform(0.0, self.stop_at), self.publishers.act)
        for kind, most in self.faults.strokes.items():
            if kind in GLOBAL_STROKES:
                for _ in range(rng.randint(1, most)):
                    self.after(rng.uniform(0.0, self.stop_at), lambda kind=kind: self._strike_all(kind))
                continue
            for region in self.regions:
                for _ in range(0 if region.clean else rng.randint(0, most)):
                    self.after(rng.uniform(0.0, self.stop_at), lambda k=kind, r=region: self._strike(k, r))
        if self.operator_mends:
            for delay in (1.0, 40.0):
                self.after(self.stop_at + delay, self.mend)

    def _publish_the_neighbour(self) -> None:
        digest = sha256_of(b"neighbour")
        artifact = ArtifactRef("origin", keys.manifest(digest), digest, 1, 1, "simulated")
        update = ModelUpdate(self.registry_id, "the neighbour's", self.neighbour, 1, 1, artifact, 0)
        body = state(update, origin_digest(self.registry_id, self.neighbour)).body
        self.origin.change(keys.log_entry(self.neighbour, 1), body)

    # --- what actors ask for ------------------------------------------------------------------------------

    @property
    def models(self) -> tuple[str, ...]:
        """All that the registry holds."""
        return (self.model, self.neighbour) if "another model can't be told" in self.faults.rates else (self.model,)

    @property
    def processes(self) -> list[Process]:
        """All that run our agents."""
        return [*(worker for region in self.regions for worker in region.workers), *self.trackers.workers]

    @property
    def now(self) -> float:
        """Simulated seconds since the beginning."""
        return self.scheduler.now

    @property
    def now_us(self) -> int:
        """The same in microseconds."""
        return int(self.now * 1e6)

    def after(self, delay: float, action: Callable[[], None]) -> None:
        """Run ``action`` later."""
        self.scheduler.after(delay, action)

    def trace(self, who: str, what: str) -> None:
        """One line for the person who replays this world."""
        if self._trace is not None:
            self._trace(f"{self.now:9.3f}  {who:<10} {what}")

    def failed(self, error: BaseException) -> None:
        """Code of a process has failed in a way that nobody foresaw: the world ends with it."""
        self.checks.failure = self.checks.failure or error

    def fault(self, kind: str, region: Region | None = None) -> bool:
        """Whether ``kind`` happens here and now."""
        if region is not None and region.clean and kind not in HARMLESS:
            return False
        if not self.faults.roll(kind, self.now):
            return False
        self.trace(region.name if region else "world", f"FAULT {kind}")
        if region is not None and kind not in HARMLESS:
            region.touched[kind] += 1
        return True

    def blame(self, region: Region, digest: str) -> None:
        """Bytes have arrived damaged in a region, or a pod that had them whole could not load them."""
        self.blames[region.name, digest] += 1

    def claimed(self, stated: StatedEntry) -> None:
        """An entry stands in the log."""
        entry = stated.entry
        self.trace("log", f"{entry.generation}: {_show(entry)}")
        if entry.event_id in self.truth.event_ids:
            self.checks.broken(ONE_LOG, f"{entry.event_id} again at {entry.generation}")
        self.truth = self.truth.extend(stated)
        self.rewriting.claimed(stated)
        self.checks.rollouts.claimed()
        if isinstance(entry, ModelUpdate):
            self.ever.add((entry.version, entry.artifact.manifest_digest))
        self.stats[f"log: {getattr(entry, 'kind', None) or entry.activation}"] += 1  # type: ignore[union-attr]
        self.on_claimed(entry)

    def on_claimed(self, entry: Entry) -> None:
        """For those who time a publication."""

    @staticmethod
    def poisoned(data: bytes) -> bool:
        """Whether these bytes load nowhere."""
        return data.startswith(b"poison")

    def may_stay_quarantined(self, digest: str) -> bool:
        """Whether a region may refuse these bytes to the end."""
        return not self.operator_mends or self.poisoned(self.published[digest])

    # --- strokes ------------------------------------------------------------------------------------------

    def _strike_all(self, kind: str) -> None:
        self.faults.hits[kind] += 1
        match kind:
            case "topic replayed":
                self.kafka.replay()
            case "kafka lost":
                self.kafka.lose_all()
            case "origin bytes damaged":
                self._damage(self.origin.artifacts, "origin", kind)
            case "tracker lost its tables":
                self.trackers.lose_tables()
            case "redis lost":
                self.redis.clear()
            case "older log restored":
                self.faults.hits[kind] -= not self.rewriting.restore_an_older_copy()
            case "log entry flipped":
                self.faults.hits[kind] -= not self.rewriting.flip_a_bit()
            case "acks forged":
                self.kafka.forge_ack()
            case "acks forged under the true epoch":
                self.faults.hits[kind] -= not self.kafka.forge_under_the_true_epoch()
            case "acks of made-up regions":
                self.kafka.flood()
            case "records of made-up models":
                self.floods.begin()
            case _:
                self._strike_trackers(kind)

    def _strike_trackers(self, kind: str) -> None:
        rng, trackers = self.rng, self.trackers
        worker = trackers.assignee or rng.choice(trackers.workers)
        match kind:
            case "tracker crashed":
                worker.crash("struck")
            case "tracker paused":
                worker.pause(rng.uniform(5.0, 60.0))
            case "tracker cut off":
                worker.cut(rng.uniform(15.0, 60.0))
            case "tracker's partition moved" if trackers.members:
                trackers.assign(rng.choice(trackers.members))

    def _damage(self, place: dict[str, object], where: str, kind: str) -> None:
        if not place:
            self.faults.hits[kind] -= 1
            return
        digest = self.rng.choice(sorted(place))
        place[digest] = place[digest].damaged(self.rng.randrange(64))  # type: ignore[attr-defined]
        self.trace(where, f"BYTES DAMAGED of {digest[7:13]}")

    def _strike(self, kind: str, region: Region) -> None:
        rng = self.rng
        if kind in {"disk bytes damaged", "cache lost"} and any(pod.plain for pod in region.pods):
            return  # nothing stands between a plain server and its disk
        if kind in FLEET_STROKES and not self._strike_the_fleet(kind, region):
            return
        self.faults.hits[kind] += 1
        region.touched[kind] += 1
        worker = rng.choice(region.workers)
        match kind:
            case "regional bytes damaged":
                self._damage(region.artifacts, region.name, kind)
            case "disk bytes damaged":
                self._damage(region.cache, region.name, kind)
            case "cache lost":
                self.trace(region.name, "CACHE LOST")
                region.cache.clear()
            case "pod crashed":
                rng.choice(region.pods).crash("struck")
            case "pod replaced by a blank one":
                rng.choice(region.pods).crash("replaced by a blank one", blank=True)
            case "worker crashed":
                worker.crash("struck")
            case "worker stopped":
                worker.stop()
            case "worker paused":
                worker.pause(rng.uniform(5.0, 60.0))
            case "worker cut off":
                worker.cut(rng.uniform(15.0, 60.0))
            case "region cut off":
                seconds = rng.uniform(50.0, 90.0)
                for each in region.workers:
                    each.cut(seconds)
            case "partition moved":
                alive = [w for w in region.members if w.up]
                if alive:
                    region.assign(rng.choice(alive))

    @staticmethod
    def _strike_the_fleet(kind: str, region: Region) -> bool:
        fleet = region.fleet
        strokes = {"pod comes": fleet.comes, "pod leaves": fleet.leaves, "pod takes a name": fleet.replaces}
        return strokes[kind]()

    def mend(self) -> None:
        """An operator puts damaged bytes right, and releases what regions quarantined for them."""
        for digest, stored in self.origin.artifacts.items():
            if stored.data != self.published[digest]:
                self.trace("operator", f"mends {digest[7:13]}")
                self.origin.artifacts[digest] = type(stored)(stored.manifest, self.published[digest])
        held_back: set[int] = set()
        for region in self.regions:
            memory, owner = memory_of(self, region), region.owner
            held_back |= {q.version for q in memory.quarantined} if memory else set()
            held_back |= {q.version for q in owner.replica.facts.quarantined} if owner and owner.replica else set()
        for version in sorted(held_back & self.truth.updates.keys()):
            if not self.poisoned(self.published[self.truth.updates[version].artifact.manifest_digest]):
                self.publishers.release(version)


def _show(entry: Entry) -> str:
    artifact = getattr(entry, "artifact", None)
    if artifact is not None:
        regions = ",".join(entry.placement) or "everywhere"  # type: ignore[union-attr]
        return f"PUBLISH {entry.version} {artifact.manifest_digest[7:13]} {entry.activation} {regions}"  # type: ignore[union-attr]
    targets = ", ".join(f"{target.region or 'all'}:{target.version}" for target in entry.targets)  # type: ignore[union-attr]
    return f"{entry.kind} {targets}"  # type: ignore[union-attr]
