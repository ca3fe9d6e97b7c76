"""The controller's shell on a store in memory: fenced tables, entries with their evidence, takeovers."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from modelcast.agents.rollout.actor import RolloutActor
from modelcast.agents.rollout.agent import RolloutAgent
from modelcast.agents.rollout.decider import facts
from modelcast.agents.rollout.ports import RolloutPorts
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.stores import MemoryStore
from modelcast.producers import Publisher, RolloutCommander, rollouts
from modelcast.schemas import keys
from modelcast.schemas.codec import decode_as, encode
from modelcast.schemas.evidence.replay import decode_evidence, encode_verdict, replayed
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.records import Activation
from modelcast.schemas.topics import Topic
from modelcast.schemas.traffic.grant import RolloutPhase
from modelcast.schemas.traffic.reports import PodCounts, RolloutState, TrafficReading, VersionCounts
from modelcast.schemas.traffic.steps_and_gates import CANARY, PlanStep
from modelcast.schemas.traffic.table import TABLE_SIZE_MAX, TrafficTable, decode_table
from tests.producers.fakes import SETTINGS, Heard
from tests.support.waiting import until_async

PLAN = replace(CANARY, steps=(PlanStep(1_000, 2), PlanStep(5_000, 2, proof=True), PlanStep(10_000, 2)))


@dataclass
class Outbox:
    """What went to Kafka."""

    sent: list[tuple[Topic, str, bytes]] = field(default_factory=list)

    def send(self, topic: Topic, key: str, value: bytes, on_delivery: object = None, /) -> None:
        self.sent.append((topic, key, value))

    def on(self, topic: Topic) -> list[bytes]:
        return [value for name, _, value in self.sent if name is topic]


class Fleet:
    """One region with one pod that does what the store says."""

    def __init__(self, store: MemoryStore, log: ModelLog) -> None:
        self.store, self.sequence = store, 0
        self.digests = {version: log.updates[version].artifact.manifest_digest for version in (1, 2)}
        self.registry_id = log.registry_id
        self.counted = {1: [0, 0], 2: [0, 0]}

    def table(self) -> TrafficTable | None:
        found = self.store.get(keys.traffic_table("fraud"), size_max=TABLE_SIZE_MAX)
        return decode_table(found.body) if found is not None else None

    def second(self, errors: tuple[float, float]) -> tuple[PodCounts, TrafficReading]:
        """A second of traffic, by the table in force."""
        self.sequence += 1
        table = self.table()
        share = table.share if table is not None else 0
        for version, part in ((1, 10_000 - share), (2, share)):
            self.counted[version][0] += 4_000 * part // 10_000
            self.counted[version][1] += round(4_000 * part / 10_000 * errors[version - 1])
        authority = table.authority if table is not None else (0, 0, 0)
        counts = PodCounts(
            self.registry_id, "fraud", "eu", "eu-0", "a", 1, self.sequence, self.sequence * 1_000_000, *authority,
            versions=tuple(
                VersionCounts(
                    version, self.digests[version], True, requests, failed,
                    slow=requests // 50, slow_harmful=requests // 100, slow_harmless=requests // 200,
                )
                for version, (requests, failed) in self.counted.items()
            ),
        )  # fmt: skip
        reading = TrafficReading(
            registry_id=self.registry_id, model="fraud", region="eu", worker="a", epoch=1, sequence=self.sequence,
            rollout="3", generation=3, reported_at_us=1, pods_expected=1, control_ready=1, candidate_ready=1,
            pods_in_force=1, table_generation=authority[0], table_epoch=authority[1], table_sequence=authority[2],
            share=share,
        )  # fmt: skip
        return counts, reading


class Clock:
    """Seconds that pass when the test says so."""

    seconds = 1_000.0

    def __call__(self) -> facts.Moment:
        return facts.Moment(self.seconds, int(self.seconds * 1e6))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """A rollout of version 2 is started."""
    monkeypatch.setattr(rollouts, "_heartbeats", lambda settings: [])
    store = MemoryStore()
    with Publisher(SETTINGS, store=store, announcer=Heard()) as publisher:
        for number, activation in ((1, Activation.IMMEDIATE), (2, Activation.STAGED)):
            (tmp_path / "model").write_text(str(number))
            publisher.publish("fraud", tmp_path / "model", activation=activation)
    RolloutCommander(SETTINGS, store=store, announcer=Heard()).start("fraud", 2, PLAN)
    return store


@dataclass
class Stage:
    """What a test needs."""

    store: MemoryStore
    ports: RolloutPorts
    outbox: Outbox
    clock: Clock
    reader: RegistryReader

    def actor(self, worker: str = "a", log: ModelLog | None = None) -> RolloutActor:
        made = RolloutActor("fraud", ("eu",), self.reader, worker, self.ports)
        made.tell(facts.LogFolded(log or self.log()))
        return made

    def log(self) -> ModelLog:
        return self.reader.tail("fraud").log


@pytest.fixture
async def stage(store: MemoryStore) -> AsyncIterator[Stage]:
    outbox, clock = Outbox(), Clock()
    with ThreadPoolExecutor(2) as threads:
        # The plan's deadline goes by the wall clock of whoever started it.
        start = RegistryReader(store).tail("fraud").log.rollout
        assert start is not None
        clock.seconds = start.started_at_us / 1e6
        yield Stage(store, RolloutPorts(outbox, threads, clock), outbox, clock, RegistryReader(store))


async def live(stage: Stage, actor: RolloutActor, fleet: Fleet, errors: tuple[float, float], seconds: int) -> None:
    """Some seconds, or until the rollout is over."""
    for _ in range(seconds):
        stage.clock.seconds += 1
        for record in fleet.second(errors):
            event = facts.CountsHeard(record) if isinstance(record, PodCounts) else facts.ReadingHeard(record)
            actor.tell(event)
        actor.tell(facts.Ticked())
        await settled(actor)
        assert actor.log is not None
        if actor.log.rollout is not None and not actor.log.rollout.active:
            return


async def settled(actor: RolloutActor) -> None:
    await until_async(lambda: actor._working is None or actor._working.done(), "the effects are done", 10)


async def test_a_good_candidate_is_promoted_and_every_verdict_can_be_computed_again(stage: Stage) -> None:
    actor = stage.actor()
    await settled(actor)
    fleet = Fleet(stage.store, stage.log())
    await live(stage, actor, fleet, (0.02, 0.02), 120)
    log = stage.log()
    assert log.rollout is not None
    assert (log.rollout.phase, log.aspired_version("eu")) == (RolloutPhase.PROMOTED, 2)
    entries = [stage.reader.entry("fraud", generation) for generation in range(4, log.head + 1)]
    assert len(entries) == 4
    for timed in entries:
        assert timed is not None
        digest = timed.entry.evidence  # type: ignore[union-attr]
        body = stage.store.get(keys.rollout_evidence("fraud", "3", digest), size_max=1 << 20)
        kept = stage.store.get(keys.rollout_verdict("fraud", "3", digest), size_max=1 << 20)
        assert body is not None
        assert kept is not None
        assert encode_verdict(replayed(decode_evidence(body.body))) == kept.body
    assert [decode_table(body) for body in stage.outbox.on(Topic.TRAFFIC_STATE)][-1].control.version == 2
    assert len(stage.outbox.on(Topic.MODEL_UPDATES)) == 4, "each entry is announced"
    last = decode_as(RolloutState, stage.outbox.on(Topic.ROLLOUT_STATE)[-1])
    assert last.phase == "PROMOTED"


async def test_a_bad_candidate_is_aborted_and_gets_nothing(stage: Stage) -> None:
    actor = stage.actor()
    await settled(actor)
    fleet = Fleet(stage.store, stage.log())
    await live(stage, actor, fleet, (0.02, 0.5), 60)
    log = stage.log()
    assert log.rollout is not None
    assert (log.rollout.phase, log.aspired_version("eu")) == (RolloutPhase.ABORTED, 1)
    table = fleet.table()
    assert table is not None
    assert table.share == 0


async def test_of_two_controllers_the_one_that_took_over_last_decides(stage: Stage) -> None:
    first = stage.actor("first")
    await settled(first)
    second = stage.actor("second")
    await settled(second)
    fleet = Fleet(stage.store, stage.log())
    table = fleet.table()
    assert table is not None
    assert table.epoch == 2
    counts, reading = fleet.second((0.02, 0.02))
    first.tell(facts.CountsHeard(counts))
    first.tell(facts.ReadingHeard(reading))
    await settled(first)
    assert stage.log().head == 3, "the first one was refused, and has to take over again"
    second.tell(facts.ReadingHeard(reading))
    await settled(second)
    assert stage.log().head == 4


async def test_a_store_that_fails_is_asked_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    from modelcast.schemas.errors import StoreUnavailable

    def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("no answer")

    log = stage.log()
    with monkeypatch.context() as patched:
        patched.setattr(stage.store, "get", away)
        actor = stage.actor(log=log)
        await settled(actor)
        actor.tell(facts.Ticked())
        await settled(actor)
    assert actor.busy
    stage.clock.seconds += 3
    actor.tell(facts.Ticked())
    await settled(actor)
    assert Fleet(stage.store, stage.log()).table() is not None


@dataclass
class Message:
    """A Kafka record."""

    key: bytes | None
    value: bytes | None
    timestamp: float


async def test_the_agent_finds_rollouts_in_the_logs_of_its_models_and_hears_of_them(stage: Stage) -> None:
    agent = RolloutAgent(("eu",), stage.reader, "a", stage.ports)
    agent.assigned(range(12))
    running = asyncio.create_task(agent.run())
    try:
        await until_async(lambda: "fraud" in agent._actors, "the rollout is found", 20)
        actor, fleet = agent._actors["fraud"], Fleet(stage.store, stage.log())
        await until_async(lambda: fleet.table() is not None, "it takes over", 20)
        now = stage.clock.seconds
        agent.report(Message(b"fraud", b"rubbish", now))
        agent.report(Message(b"fraud", encode(fleet.second((0, 0))[0]), now - 3_600))
        assert not actor._state.counts, "what lay there for an hour is left out"
        for record in fleet.second((0.02, 0.02)):
            agent.report(Message(b"fraud", encode(record), now))
        assert len(actor._state.counts) == 1
        await until_async(lambda: stage.log().head == 4, "the first step", 20)
        await agent.revoked()
        assert not agent._actors
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
