"""The prober: probes go out in turn, answers come in, what came of them is told; Kafka away is not flooded later."""

import asyncio
import itertools
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from modelcast.agents.tracker.agent import TrackerAgent
from modelcast.agents.tracker.decider.probes import LOST_SECONDS
from modelcast.agents.tracker.ports import TrackerPorts, WorkerClocks
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.settings import RegionSettings, Settings, TrackerSettings
from modelcast.infra.stores.memory_store import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.codec import decode, encode
from modelcast.schemas.errors import StoreUnavailable
from modelcast.schemas.log.registry_id import encode_registry_id
from modelcast.schemas.probes import PROBE_KEYS, Probe, ProbeAnswer, ProbeState
from modelcast.schemas.records import RegionHeartbeat
from modelcast.schemas.topics import Topic, partition_of
from tests.support.virtual_time import in_virtual_time

REGISTRY = "registry"
EVERY = 30.0


class Now(Executor):
    """Runs what it is given in the very moment."""

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        answer = Future[Any]()
        try:
            answer.set_result(call(*args, **kwargs))
        except Exception as error:
            answer.set_exception(error)
        return answer


@dataclass
class Cluster:
    """Kafka as a tracker sees it, with regions that answer. It is a sender, and what was published before."""

    up: bool = True
    answering: set[str] = field(default_factory=lambda: {"eu", "us"})
    probes: list[Probe] = field(default_factory=list)
    told: list[ProbeState] = field(default_factory=list)
    kept: dict[str, bytes] = field(default_factory=dict)
    letters: list[str] = field(default_factory=list)
    waiting: list[Callable[[], None]] = field(default_factory=list)
    tracker: "Tracker | None" = None

    def dead_letter(self, raw: bytes, *, reason: str, **_: object) -> None:
        self.letters.append(reason)

    def send(self, topic: Topic, key: str, value: bytes, on_delivery: Callable[[bool], None] = lambda _: None) -> None:
        def arrives() -> None:
            on_delivery(True)
            record = decode(value)
            if isinstance(record, ProbeState):
                assert topic is Topic.PROBE_STATE
                self.told.append(record)
                self.kept[key] = value
            elif isinstance(record, Probe):
                assert topic is Topic.MODEL_UPDATES
                assert key == PROBE_KEYS[partition_of(key)]
                self.probes.append(record)
                for region in sorted(self.answering):
                    asyncio.get_running_loop().create_task(self.answer(record, key, region))

        if self.up:
            arrives()
        else:
            self.waiting.append(arrives)

    def back(self) -> None:
        self.up = True
        waiting, self.waiting = self.waiting, []
        for each in waiting:
            each()

    async def answer(self, probe: Probe, key: str, region: str, **changes: Any) -> None:
        asked_us = wall_us()
        await asyncio.sleep(0.1)
        fields: dict[str, Any] = {"registry_id": probe.registry_id, **changes}
        answer = ProbeAnswer(probe_id=probe.probe_id, region=region, worker="w", announced_at_us=asked_us, **fields)
        if self.tracker is not None:
            await self.tracker.acks(key, encode(answer))

    async def probe_states(self, _timeout_seconds: float) -> dict[str, bytes] | None:
        return self.kept

    async def published(self, *_: object) -> dict[str, bytes] | None:
        return {}


def wall_us() -> int:
    return 1_800_000_000_000_000 + round(asyncio.get_running_loop().time() * 1_000_000)


class Tracker:
    """A worker that owns all partitions, with regions whose heartbeats it hears."""

    def __init__(self, cluster: Cluster, *, every: float = EVERY, store: MemoryStore | None = None) -> None:
        self.cluster = cluster
        self.store = store if store is not None else a_store()
        loop = asyncio.get_running_loop()
        ports = TrackerPorts(
            sender=cluster,
            open_view=lambda _: SimpleNamespace(  # type: ignore[arg-type,return-value]
                keys=SimpleNamespace(heartbeats="h", heartbeat=str)
            ),
            published=cluster,
            stores=Now(),
            regions=Now(),
            epoch_of=lambda *_: 0,
            clock=WorkerClocks(loop.time, wall_us, loop.time),
        )
        settings = Settings.model_construct(
            regions={name: RegionSettings() for name in ("eu", "us")}, tracker=TrackerSettings(probe_seconds=every)
        )
        self.agent = TrackerAgent(settings, RegistryReader(self.store), "tracker", ports)
        self.agent.begins_anew()
        self.agent.rows.reassign(frozenset(range(12)))
        self.agent.emitter.settle(True)
        self.alive = {"eu", "us"}
        self._tasks = [loop.create_task(self.agent.parts["prober"]()), loop.create_task(self._beats())]
        self._offset = itertools.count()

    async def _beats(self) -> None:
        while True:
            for region in sorted(self.alive):
                raw = encode(RegionHeartbeat(REGISTRY, region, "w", 1, 1, wall_us()))
                self.agent.intake.heartbeat(raw, f"{region}/w".encode(), 0, wall_us(), wall_us())
            await asyncio.sleep(5)

    async def acks(self, key: str, value: bytes) -> None:
        message: Any = SimpleNamespace(
            key=key.encode(), value=value, partition=partition_of(key), offset=next(self._offset), headers=None,
            topic="model-acks", timestamp=wall_us() / 1_000_000,
        )  # fmt: skip
        await self.agent.ack(message, message.offset + 1, {})

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()


def a_store() -> MemoryStore:
    store = MemoryStore()
    store.put(keys.REGISTRY_ID, encode_registry_id(REGISTRY))
    return store


def begun(cluster: Cluster, **wishes: Any) -> Tracker:
    cluster.tracker = Tracker(cluster, **wishes)
    return cluster.tracker


@in_virtual_time
async def test_every_half_minute_a_probe_goes_out_to_the_next_partition_and_what_came_of_it_is_told_once() -> None:
    cluster = Cluster()
    tracker = begun(cluster)
    await asyncio.sleep(12 * EVERY)
    tracker.stop()
    assert 12 <= len(cluster.probes) <= 13
    assert {state.partition for state in cluster.told} == set(range(12))
    newest = cluster.told[-1]
    assert (newest.finished_today, newest.lost_today, newest.trouble) == (1, 0, "")
    assert {row.region: row.seconds for row in newest.regions} == {"eu": 0.1, "us": 0.1}
    assert newest.log_seconds is not None
    assert len(cluster.told) <= 3 * len(cluster.probes)
    assert not tracker.agent.rows.models  # no model came of it
    assert cluster.letters == []


@in_virtual_time
async def test_a_region_that_does_not_answer_is_told_of_after_a_minute() -> None:
    cluster = Cluster(answering={"eu"})
    begun(cluster)
    await asyncio.sleep(LOST_SECONDS + EVERY + 1)
    lost = [state for state in cluster.told if state.lost_today]
    assert lost
    assert {state.trouble for state in lost} == {"us did not answer in 60 s"}


@in_virtual_time
async def test_while_kafka_is_away_turns_are_lost_and_one_probe_waits_at_most() -> None:
    cluster = Cluster(up=False)
    tracker = begun(cluster)
    await asyncio.sleep(40 * EVERY - 5)  # each partition had its turn three times
    assert len(cluster.waiting) <= 1 + 12  # one probe, and what is told of each partition once
    cluster.back()
    await asyncio.sleep(1)
    assert len(cluster.probes) == 1
    assert sum(state.lost_today for state in last_told(cluster).values()) >= 39
    await asyncio.sleep(2 * EVERY)
    tracker.stop()
    assert 2 <= len(cluster.probes) <= 3


def last_told(cluster: Cluster) -> dict[int, ProbeState]:
    return {state.partition: state for state in cluster.told}


@in_virtual_time
async def test_answers_that_are_made_up_change_nothing_and_are_bounded() -> None:
    cluster = Cluster(answering={"eu"})
    tracker = begun(cluster)
    while not cluster.probes:
        await asyncio.sleep(1)
    await asyncio.sleep(1)
    probe, told = cluster.probes[-1], len(cluster.told)
    key = PROBE_KEYS[last_told(cluster).popitem()[0]]
    for _ in range(200):
        await cluster.answer(Probe(REGISTRY, "made-up", "w", 1), key, "us")
        await cluster.answer(probe, key, "eu")
        await cluster.answer(probe, key, "mars")
    assert len(cluster.told) - told <= 6  # the turns that came meanwhile
    assert not any(row.seconds is not None for state in cluster.told for row in state.regions if row.region == "us")
    await cluster.answer(probe, key, "us", registry_id="another")
    tracker.stop()
    assert cluster.letters == ["unknown-region", "foreign-registry"]


@in_virtual_time
async def test_the_next_worker_counts_on_and_two_at_once_do_no_harm() -> None:
    cluster = Cluster(answering={"eu"})
    first = begun(cluster)
    await asyncio.sleep(13 * EVERY + LOST_SECONDS)
    lost = sum(state.lost_today for state in last_told(cluster).values())
    assert lost >= 12
    begun(cluster)  # its answers come here from now on
    await asyncio.sleep(3 * EVERY + LOST_SECONDS)
    first.stop()
    assert sum(state.lost_today for state in last_told(cluster).values()) >= lost


@in_virtual_time
async def test_a_store_that_does_not_answer_is_said_and_the_probe_goes_without() -> None:
    class Away(MemoryStore):
        away = False

        def get(self, key: str, *, size_max: int) -> Any:
            if self.away:
                raise StoreUnavailable("away")
            return super().get(key, size_max=size_max)

    store = Away()
    store.put(keys.REGISTRY_ID, encode_registry_id(REGISTRY))
    cluster = Cluster()
    begun(cluster, store=store)
    await asyncio.sleep(EVERY + 1)
    store.away = True
    await asyncio.sleep(EVERY)
    newest = cluster.told[-1]
    assert (newest.log_seconds, newest.lost_today) == (None, 0)
    assert "store" in newest.trouble


@in_virtual_time
async def test_without_a_registry_and_with_zero_seconds_nothing_is_probed() -> None:
    cluster = Cluster()
    begun(cluster, store=MemoryStore())
    await asyncio.sleep(3 * EVERY)
    assert cluster.probes == []
    off = Settings.model_construct(regions={}, tracker=TrackerSettings(probe_seconds=0))
    assert "prober" not in TrackerAgent(off, RegistryReader(a_store()), "t", cluster.tracker.agent._ports).parts  # type: ignore[union-attr]
