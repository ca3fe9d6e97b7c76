"""A rollout on a world in memory: the candidate beside what serves, shares, counts, cuts, and nothing without one."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from modelcast.agents.region.ownership.owned_state import OwnedState
from modelcast.agents.region.shell.reconciler import Reconciler
from modelcast.agents.region.traffic.decider.knowledge import TrafficPace
from modelcast.agents.region.traffic.ports import TrafficPorts
from modelcast.agents.region.traffic.tables import OriginTables
from modelcast.infra.stores.memory_store import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.codec import decode
from modelcast.schemas.records import CommandKind, LogPosition
from modelcast.schemas.region_memory import Memory
from modelcast.schemas.states import State
from modelcast.schemas.topics import Topic
from modelcast.schemas.traffic.reports import PodCounts, TrafficReading
from modelcast.schemas.traffic.steps_and_gates import CANARY
from modelcast.schemas.traffic.table import TrafficTable, encode_table
from tests.agents.region.rollout_words import RolloutLog
from tests.agents.region.scene import SOON, Scene
from tests.agents.region.traffic.words import table
from tests.agents.region.words import MODEL, REGION, REGISTRY, Log, digest

FAST = TrafficPace(poll=0.05, early=0.02, idle=0.05, table=0.05, look=0.01, repeat=0.5, retry_first=0.02)


class Sent:
    """An outbox that keeps what was sent."""

    def __init__(self) -> None:
        self.readings: list[TrafficReading] = []
        self.counts: list[PodCounts] = []

    def send(
        self, topic: Topic, key: str, value: bytes, on_delivery: Callable[[bool], None], headers: Mapping[str, bytes]
    ) -> None:
        assert (topic, key) == (Topic.TRAFFIC_COUNTS, MODEL)
        record = decode(value)
        if isinstance(record, TrafficReading):
            self.readings.append(record)
        else:
            assert isinstance(record, PodCounts)
            self.counts.append(record)

    @property
    def last(self) -> TrafficReading | None:
        return self.readings[-1] if self.readings else None


class Rolling:
    """A scene with a rollout, the origin's table and what was sent."""

    def __init__(self, log: RolloutLog) -> None:
        self.log, self.sent, self.origin = log, Sent(), MemoryStore()
        ports = TrafficPorts(OriginTables(self.origin), self.sent, "me", pace=FAST)
        self.scene = Scene(log, traffic=ports)
        self.pods = self.scene.pods

    async def says(self) -> None:
        """The region hears of the log's newest entry."""
        await self.scene.reconciler.announced(len(self.log.entries))

    def puts(self, given: TrafficTable) -> None:
        self.origin.put(keys.traffic_table(MODEL), encode_table(given))
        self.scene.reconciler.controller_heard()

    async def holds(self, version: int | None) -> None:
        await self.scene.until(
            lambda: all((p.candidate.version if p.candidate else None) == version for p in self.pods.values()),
            f"candidates are {version}",
        )

    async def shares(self, share: int) -> None:
        await self.scene.until(
            lambda: all((p.division.table.share if p.division.table else 0) == share for p in self.pods.values()),
            f"shares are {share}",
        )

    @property
    def memory(self) -> Memory:
        found = self.scene.bucket.get(keys.region_state(MODEL), size_max=1 << 20)
        assert found is not None
        return Memory.decode(found.body)


@pytest.fixture
async def rolling():  # type: ignore[no-untyped-def]
    made = Rolling(RolloutLog())
    await made.scene.start()
    await made.scene.serves(1)
    yield made
    for pod in made.pods.values():
        pod.candidate_gate.set()
    await made.scene.end()


async def test_a_candidate_is_loaded_beside_what_serves_and_let_go_when_it_is_aborted(rolling: Rolling) -> None:
    rolling.log.start()
    await rolling.says()
    await rolling.holds(2)
    assert {p.serves.version for p in rolling.pods.values() if p.serves} == {1}
    await rolling.scene.until(lambda: rolling.memory.candidate and rolling.memory.candidate.served, "remembered")
    assert rolling.scene.reconciler.digests_kept() == {digest(1), digest(2)}
    rolling.log.abort()
    await rolling.says()
    await rolling.holds(None)
    await rolling.scene.until(lambda: rolling.memory.candidate is None, "nothing is left of it")
    assert rolling.scene.reconciler.rollout.candidate is None
    assert rolling.scene.told is State.SERVING


async def test_what_was_of_earlier_rollouts_is_forgotten(rolling: Rolling) -> None:
    rollout, held = rolling.scene.reconciler.rollout, []
    for _ in range(4):
        rolling.log.start()
        await rolling.says()
        await rolling.holds(2)
        rolling.log.abort()
        await rolling.says()
        await rolling.scene.until(lambda: rollout.candidate is rollout.traffic is None, "nothing is left of it")
        held.append(len(rollout._stopping))
    assert held[-1] <= held[0] + 1, held


async def test_a_rollout_goes_on_whose_end_is_no_part_of_the_log_that_was_accepted_instead(rolling: Rolling) -> None:
    rolling.log.start()
    await rolling.says()
    await rolling.holds(2)
    rolling.log.abort()
    await rolling.says()
    await rolling.holds(None)
    await rolling.scene.until(lambda: rolling.scene.reconciler.rollout.candidate is None, "it is over")
    lost = LogPosition(4, rolling.log.fold.digest_at(4))
    rolling.log.entries.pop()
    rolling.log.accept(lost).accept(lost)
    await rolling.says()
    await rolling.holds(2)


async def test_a_promotion_moves_no_bytes_and_loads_nothing(rolling: Rolling) -> None:
    rolling.log.start(plan=replace(CANARY, bake_seconds=0.5))
    await rolling.says()
    await rolling.holds(2)
    loaded = {name: list(pod.loaded) for name, pod in rolling.pods.items()}
    rolling.log.promote()
    await rolling.says()
    await rolling.scene.serves(2)
    await rolling.holds(None)  # its time is over
    assert {name: pod.loaded for name, pod in rolling.pods.items()} == loaded
    assert [pod.unloaded for pod in rolling.pods.values()] == [[1], [1]], "what served was kept beside it until then"


async def test_the_way_back_after_a_promotion_loads_nothing(rolling: Rolling) -> None:
    rolling.log.start()
    await rolling.says()
    await rolling.holds(2)
    rolling.log.promote()
    await rolling.says()
    await rolling.scene.serves(2)
    await rolling.holds(1)
    loaded = {name: list(pod.loaded) for name, pod in rolling.pods.items()}
    rolling.log.say(CommandKind.ROLLBACK, 1)
    await rolling.says()
    await rolling.scene.serves(1)
    assert {name: pod.loaded for name, pod in rolling.pods.items()} == loaded
    await rolling.holds(None)


async def test_a_candidate_that_hangs_or_loads_nowhere_keeps_nothing_waiting_that_is_to_serve(rolling: Rolling) -> None:
    for pod in rolling.pods.values():
        pod.candidate_gate.clear()
    rolling.log.start()
    await rolling.says()
    await rolling.scene.until(lambda: any(o.lane for p in rolling.pods.values() for o in p.orders), "it is ordered")
    rolling.log.publish(3)
    await rolling.says()
    await rolling.scene.serves(3)


async def test_why_a_candidate_loads_nowhere_is_told(rolling: Rolling) -> None:
    for pod in rolling.pods.values():
        pod.candidate_fails = "load_failed"
    rolling.log.start()
    await rolling.says()
    await rolling.scene.until(
        lambda: rolling.sent.last and "loads nowhere: " in rolling.sent.last.error, "the reason is told"
    )
    assert rolling.scene.told is State.SERVING
    assert rolling.memory.candidate is not None
    await rolling.scene.until(lambda: rolling.memory.candidate and rolling.memory.candidate.quarantined, "and kept")


async def test_who_takes_over_goes_on_with_the_candidate_and_loads_nothing_again(rolling: Rolling) -> None:
    rolling.log.start()
    await rolling.says()
    await rolling.holds(2)
    await rolling.scene.reconciler.stop("the worker ends")
    loaded = {name: list(pod.loaded) for name, pod in rolling.pods.items()}
    state = OwnedState(rolling.scene.bucket, MODEL, REGION, "the next")
    again = Reconciler(MODEL, rolling.scene.world, state, rolling.scene.book, SOON, lambda _: None)
    again.start(REGISTRY, known_to_exist=True)
    try:
        await rolling.scene.until(
            lambda: all(p.candidate and p.candidate.epoch == 2 for p in rolling.pods.values()), "they know whose it is"
        )
        assert {name: pod.loaded for name, pod in rolling.pods.items()} == loaded
        rolling.log.abort()
        again.refresh()
        await rolling.holds(None)
    finally:
        await again.stop("the test ends")


async def test_shares_are_given_clamped_read_back_and_told(rolling: Rolling) -> None:
    rolling.log.start().grants(1_000)
    await rolling.says()
    await rolling.holds(2)
    rolling.puts(table(5_000))
    await rolling.shares(1_000)
    await rolling.scene.until(
        lambda: (said := rolling.sent.last) and (said.pods_in_force, said.share, said.candidate_ready) == (2, 1_000, 2),
        "told",
    )
    rolling.pods["p"].division.counted((9, 0), (1, 0))
    await rolling.scene.until(
        lambda: any(c.pod == "p" and sum(v.requests for v in c.versions) == 10 for c in rolling.sent.counts), "counted"
    )
    rolling.log.abort()
    await rolling.says()
    await rolling.shares(0)
    await rolling.scene.until(lambda: rolling.scene.reconciler.rollout.traffic is None, "nothing runs any more")


async def test_a_candidate_that_fails_is_cut_off_also_while_store_and_controller_are_away(rolling: Rolling) -> None:
    rolling.log.start().grants(1_000)
    await rolling.says()
    rolling.puts(table(1_000))
    await rolling.shares(1_000)
    await rolling.scene.until(lambda: rolling.sent.counts, "the guard has a place to count from")
    rolling.pods["p"].division.counted((45, 0), (5, 5))
    await rolling.shares(0)
    await rolling.scene.until(lambda: rolling.memory.cut, "kept")
    await rolling.scene.until(lambda: rolling.sent.last and rolling.sent.last.cut, "told")
    rolling.puts(table(1_000, epoch=2))
    await asyncio.sleep(0.3)
    await rolling.shares(0)


async def test_a_worker_that_takes_over_keeps_the_cut(rolling: Rolling) -> None:
    rolling.log.start().grants(1_000)
    await rolling.says()
    rolling.puts(table(1_000))
    await rolling.shares(1_000)
    await rolling.scene.until(lambda: rolling.sent.counts, "the guard has a place to count from")
    rolling.pods["p"].division.counted((45, 0), (5, 5))
    await rolling.scene.until(lambda: rolling.memory.cut, "kept")
    await rolling.scene.reconciler.stop("the worker ends")
    state = OwnedState(rolling.scene.bucket, MODEL, REGION, "the next")
    again = Reconciler(MODEL, rolling.scene.world, state, rolling.scene.book, SOON, lambda _: None)
    again.start(REGISTRY, known_to_exist=True)
    try:
        await rolling.scene.until(lambda: rolling.sent.last and rolling.sent.last.epoch == 2, "it speaks")
        rolling.origin.put(keys.traffic_table(MODEL), encode_table(table(1_000, epoch=2)))
        await rolling.scene.until(
            lambda: all(p.division.table and p.division.table.epoch == 2 for p in rolling.pods.values()), "given"
        )
        await rolling.shares(0)
    finally:
        await again.stop("the test ends")


async def test_a_draining_worker_begins_no_load_of_a_candidate(rolling: Rolling) -> None:
    rolling.scene.reconciler.hold()
    rolling.log.start()
    await rolling.says()
    await asyncio.sleep(0.2)
    assert not [order for pod in rolling.pods.values() for order in pod.orders if order.lane]
    rolling.scene.reconciler.release()
    await rolling.holds(2)


async def test_without_a_rollout_in_the_log_nothing_else_is_done_or_asked() -> None:
    """The same world with and without the ports of rollouts: the same orders, writes and files."""

    async def lived(traffic: TrafficPorts | None) -> tuple[object, ...]:
        scene = Scene(Log().publish(1), traffic=traffic)
        await scene.start()
        await scene.serves(1)
        scene.log.publish(2)
        await scene.reconciler.announced(2)
        await scene.serves(2)
        await scene.until(lambda: scene.state.check().served and scene.state.check().served.version == 2, "kept")  # type: ignore[union-attr]
        assert (scene.reconciler.rollout.candidate, scene.reconciler.rollout.traffic) == (None, None)
        memory = scene.state.check()
        orders = [(name, [(o.version, o.lane) for o in pod.orders]) for name, pod in scene.pods.items()]
        asked = [pod.division.sequence for pod in scene.pods.values()]
        await scene.end()
        return memory, orders, asked, scene.disk.fetched, [info.key for info in scene.bucket.list("")]

    class Forbidden(MemoryStore):
        def head(self, key: str) -> None:  # type: ignore[override]
            raise AssertionError(f"asked for {key}")

    assert await lived(TrafficPorts(OriginTables(Forbidden()), Sent(), "me", pace=FAST)) == await lived(None)
