"""The controller's shell on a store in memory: fenced tables, entries with their evidence, takeovers."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from modelcast.agents.rollout.actor import RolloutActor
from modelcast.agents.rollout.agent import RolloutAgent
from modelcast.agents.rollout.decider import facts
from modelcast.agents.rollout.ports import RolloutPorts
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.stores import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.codec import decode_as, encode
from modelcast.schemas.errors import StoreUnavailable
from modelcast.schemas.evidence.replay import decode_evidence, encode_verdict, replayed
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.topics import Topic
from modelcast.schemas.traffic.grant import RolloutPhase
from modelcast.schemas.traffic.reports import PodCounts, RolloutState
from modelcast.schemas.traffic.table import decode_table
from tests.agents.rollout.fleet import PLAN, ReportingFleet, store_with_rollout
from tests.support.waiting import until_async


@dataclass
class Outbox:
    """What went to Kafka."""

    sent: list[tuple[Topic, str, bytes]] = field(default_factory=list)

    def send(self, topic: Topic, key: str, value: bytes, on_delivery: object = None, /) -> None:
        self.sent.append((topic, key, value))

    def on(self, topic: Topic) -> list[bytes]:
        return [value for name, _, value in self.sent if name is topic]


class Clock:
    """Seconds that pass when the test says so."""

    seconds = 1_000.0

    def __call__(self) -> facts.Moment:
        return facts.Moment(self.seconds, int(self.seconds * 1e6))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """A rollout of version 2 is started."""
    return store_with_rollout(tmp_path, monkeypatch, PLAN)


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


async def live(
    stage: Stage, actor: RolloutActor, fleet: ReportingFleet, errors: tuple[float, float], seconds: int
) -> None:
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
    fleet = ReportingFleet(stage.store, stage.log())
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
    fleet = ReportingFleet(stage.store, stage.log())
    await live(stage, actor, fleet, (0.02, 0.5), 60)
    log = stage.log()
    assert log.rollout is not None
    assert (log.rollout.phase, log.aspired_version("eu")) == (RolloutPhase.ABORTED, 1)
    table = fleet.table()
    assert table is not None
    assert table.share == 0
    ended = REGISTRY.get_sample_value("modelcast_rollout_ended_timestamp_seconds", {"model": "fraud", "entry": "abort"})
    assert ended is not None
    assert 0 <= stage.clock.seconds - ended < 60, "whoever is on duty is told"


async def test_of_two_controllers_the_one_that_took_over_last_decides(stage: Stage) -> None:
    first = stage.actor("first")
    await settled(first)
    second = stage.actor("second")
    await settled(second)
    fleet = ReportingFleet(stage.store, stage.log())
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


@pytest.mark.parametrize("error", [StoreUnavailable("no answer"), RuntimeError("nobody foresaw this")])
async def test_a_store_that_fails_is_asked_again(
    error: Exception, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise error

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
    assert ReportingFleet(stage.store, stage.log()).table() is not None


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
        actor, fleet = agent._actors["fraud"], ReportingFleet(stage.store, stage.log())
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
