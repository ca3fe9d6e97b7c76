"""A reconciler on a world in memory: outcomes come back as events, and what must not be done is not done."""

import asyncio
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from modelcast.agents.region.decider.events_and_effects import PodsKnown, Transfer
from modelcast.agents.region.ownership.owned_state import OwnedState
from modelcast.agents.region.reporting.progress import ReportRate
from modelcast.agents.region.shell.reconciler import Reconciler
from modelcast.infra.telemetry import metrics
from modelcast.schemas import keys
from modelcast.schemas.errors import DecodeError, ForeignRegistry, StoreUnavailable
from modelcast.schemas.region_memory import Memory
from modelcast.schemas.states import State
from tests.agents.region.scene import SOON, PodInMemory, Scene
from tests.agents.region.words import MODEL, REGION, REGISTRY, Log, digest, memory_of


@pytest.fixture
async def scene():  # type: ignore[no-untyped-def]
    made = Scene(Log().publish(1))
    yield made
    await made.end()


async def test_it_claims_reads_fetches_loads_reads_back_and_tells(scene: Scene) -> None:
    await scene.start()
    await scene.serves(1)
    await scene.until(lambda: scene.state.check().served, "remembered")
    assert scene.disk.fetched == [1]
    scene.log.publish(2)
    await scene.reconciler.announced(2)
    await scene.serves(2)
    assert [o.generation for o in scene.pods["p"].orders] == [1, 2]


async def test_a_store_that_is_away_at_first_is_waited_for(scene: Scene) -> None:
    scene.book.trouble = StoreUnavailable("away")
    await scene.start()
    await scene.until(lambda: scene.reconciler.replica, "claimed")
    assert scene.disk.fetched == []
    scene.book.trouble = None
    await scene.serves(1)


async def test_a_log_that_contradicts_itself_stops_the_model_until_it_is_right_again(scene: Scene) -> None:
    await scene.start()
    await scene.serves(1)
    scene.book.trouble = ForeignRegistry("an entry is gone")
    scene.reconciler.refresh()
    await scene.until(lambda: scene.reports.last[MODEL].facts.alarm, "the alarm is told")
    assert metrics.ALARM.labels(MODEL)._value.get() == 1
    scene.book.trouble = None
    read = scene.book.refolds
    scene.log.publish(2)
    scene.reconciler.refresh()
    await scene.serves(2)
    assert scene.book.refolds > read, "from entry 1"
    assert metrics.ALARM.labels(MODEL)._value.get() == 0


async def test_who_takes_over_while_there_is_an_alarm_has_it_too_and_reads_the_whole_log(scene: Scene) -> None:
    await scene.start()
    await scene.serves(1)
    scene.book.trouble = ForeignRegistry("an entry is gone")
    scene.reconciler.refresh()
    await scene.until(lambda: scene.state.check().contradiction, "the alarm is remembered")
    await scene.reconciler.stop("the worker ends")
    metrics.ALARM.labels(MODEL).set(0)
    taken_over: list[str] = []
    state = OwnedState(scene.bucket, MODEL, REGION, "the next")
    again = Reconciler(MODEL, scene.world, state, scene.book, SOON, taken_over.append)
    again.start(REGISTRY, known_to_exist=True)
    try:
        await scene.until(lambda: again.replica is not None, "claimed")
        assert again.replica is not None
        assert again.replica.facts.alarm == "an entry is gone"
        assert metrics.ALARM.labels(MODEL)._value.get() == 1
        scene.pods["p"].serves = None  # it restarts
        await scene.until(lambda: scene.pods["p"].serves, "and serves what it served")
        scene.book.trouble = None
        again.refresh()
        await scene.until(lambda: again.replica and not again.replica.facts.alarm, "the alarm is over")
    finally:
        await again.stop("the test ends")


async def test_a_log_read_before_the_claim_is_no_alarm_though_another_owner_has_accepted_more_since() -> None:
    scene = Scene(Log().publish(1))

    def another_owner_goes_on() -> None:
        if len(scene.log.entries) == 1:
            scene.log.publish(2)
            scene.bucket.put(keys.region_state(MODEL), memory_of(2, 2).encode())

    scene.book.after_reading = another_owner_goes_on
    scene.reconciler.start(REGISTRY, known_to_exist=False)  # reads the log, then claims
    await scene.serves(2)
    assert scene.reports.alarms == []
    await scene.end()


async def test_a_flood_of_announcements_does_not_have_an_alarmed_log_read_all_the_time(scene: Scene) -> None:
    await scene.start()
    await scene.serves(1)
    scene.book.trouble = ForeignRegistry("an entry is gone")
    scene.reconciler.refresh()
    await scene.until(lambda: scene.reports.last[MODEL].facts.alarm, "the alarm is told")
    read = scene.book.refolds
    for generation in range(100, 150):
        scene.reconciler.wake(generation)
        await asyncio.sleep(0.005)
    assert scene.book.refolds - read <= 2


async def test_an_entry_that_cannot_be_read_is_told_while_what_stands_below_it_is_obeyed(scene: Scene) -> None:
    scene.book.unread = "registry/fraud/log/2: not a record"
    await scene.start()
    await scene.serves(1)
    await scene.until(lambda: scene.reports.last[MODEL].facts.unreadable, "the alarm is told")
    assert metrics.ALARM.labels(MODEL)._value.get() == 1
    scene.pods["p"].serves = None  # it restarts
    await scene.until(lambda: scene.pods["p"].serves, "it is looked after as before")
    scene.book.unread = ""
    scene.log.publish(2)
    scene.reconciler.refresh()
    await scene.serves(2)
    await scene.until(lambda: not scene.reports.last[MODEL].facts.unreadable, "it is over")
    assert metrics.ALARM.labels(MODEL)._value.get() == 0


async def test_a_log_that_cannot_be_read_at_all_is_told(scene: Scene) -> None:
    await scene.start()
    await scene.serves(1)
    scene.book.trouble = DecodeError("not a record")
    scene.reconciler.refresh()
    await scene.until(lambda: scene.reports.last[MODEL].facts.unreadable, "the alarm is told")
    scene.book.trouble = None
    scene.reconciler.refresh()
    await scene.until(lambda: not scene.reports.last[MODEL].facts.unreadable, "it is over")


async def test_a_model_that_was_only_spoken_of_is_not_claimed() -> None:
    scene = Scene(Log(), policy=replace(SOON, store_pauses=(0.01, 0.01)))
    scene.reconciler.start(REGISTRY, known_to_exist=False)
    await scene.until(lambda: scene.replaced, "given up")
    assert scene.reconciler.unknown
    assert list(scene.bucket.list("")) == []
    await scene.end()


@pytest.mark.parametrize("late", [False, True])
async def test_a_model_that_appears_at_the_last_moment_is_claimed(late: bool) -> None:
    scene = Scene(Log(), policy=replace(SOON, store_pauses=(0.5 if late else 0.01,)))
    if late:
        scene.reconciler.start(REGISTRY, known_to_exist=False)
        await asyncio.sleep(0.1)  # it has looked once, and waits before it gives up
        scene.log.publish(1)
        await scene.reconciler.announced(1)
    else:
        scene.log.publish(1)
        scene.reconciler.start(REGISTRY, known_to_exist=False)
    await scene.serves(1)
    await scene.end()


async def test_a_pod_that_hangs_does_not_keep_the_other_waiting(scene: Scene) -> None:
    scene.pods["p"].gate.clear()
    await scene.start()
    await scene.until(lambda: scene.pods["p"].orders, "p is told")
    scene.pods["p"].away = True  # it dies while it loads
    await scene.until(lambda: scene.pods["q"].serves, "q serves")
    scene.pods["p"].away = False
    scene.pods["p"].gate.set()
    await scene.serves(1)


async def test_a_pod_that_loads_another_model_waits_for_that_and_keeps_no_other_waiting(scene: Scene) -> None:
    turns = scene.world.turns
    assert turns.begin("p", "spam", lambda: None) == ""
    await scene.start()
    await scene.until(lambda: scene.pods["q"].serves, "q serves")
    assert scene.pods["p"].orders == []
    replica = scene.reconciler.replica
    assert replica is not None
    assert replica.pending.rollover.waits == "waits for p, which loads spam"
    turns.end("p")
    await scene.serves(1)
    assert turns.begin("p", "spam", lambda: None) == ""  # it let go of the pod


async def test_a_pod_that_another_model_takes_out_of_traffic_keeps_the_last_one_in_it(scene: Scene) -> None:
    for pod in scene.pods.values():
        pod.gapless = False
    await scene.start()
    await scene.serves(1)
    turns = scene.world.turns
    assert turns.begin("p", "spam", lambda: None, gapless=False) == ""
    scene.log.publish(2)
    scene.reconciler.wake(2)
    await scene.until(
        lambda: (r := scene.reconciler.replica) and "1 of 2 pods take traffic, 1 must" in r.pending.rollover.waits,
        "version 2 is here, and waits",
    )
    assert [len(pod.orders) for pod in scene.pods.values()] == [1, 1]
    turns.end("p")
    await scene.serves(2)
    assert turns.out_for_others("spam") == {}


async def test_whoever_was_replaced_gives_no_order_even_to_servers_that_cannot_refuse() -> None:
    scene = Scene(Log().publish(1), policy=replace(SOON, proof_seconds=0.0))  # it might have slept since any proof
    await scene.start()
    await scene.serves(1)
    OwnedState(scene.bucket, MODEL, REGION, "another").claim(REGISTRY)
    before = len(scene.pods["p"].orders)
    scene.pods["p"].serves = None  # p restarted: what is owned would be loaded again
    await scene.until(lambda: scene.replaced, "it finds out")
    assert len(scene.pods["p"].orders) == before
    assert scene.reconciler.stopped
    await scene.end()


async def test_a_save_finds_out_that_another_owns_the_model(scene: Scene) -> None:
    await scene.start()
    await scene.serves(1)
    await scene.until(lambda: scene.state.check().served, "remembered")
    OwnedState(scene.bucket, MODEL, REGION, "another").claim(REGISTRY)
    scene.log.publish(2)
    await scene.reconciler.announced(2)
    await scene.until(lambda: scene.replaced, "it finds out")
    found = scene.bucket.get("state/fraud", size_max=10**6)
    assert found is not None
    memory = Memory.decode(found.body)
    assert (memory.owner, memory.accepted_generation) == ("another", 1)
    assert all(o.version == 1 for p in scene.pods.values() for o in p.orders)


async def test_a_short_fetch_and_its_generation_are_remembered_with_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(Log().publish(1), policy=replace(SOON, save_with_fetch_seconds=3600.0))
    await scene.start()
    await scene.serves(1)
    await scene.until(lambda: scene.state.check().served, "remembered")
    written: list[Memory] = []
    save = scene.state.save
    monkeypatch.setattr(scene.state, "save", lambda memory: (written.append(memory), save(memory))[1])
    scene.log.publish(2)
    await scene.reconciler.announced(2)
    await scene.serves(2)
    staged = written[0].staged
    assert staged is not None
    assert (written[0].accepted_generation, staged.version) == (2, 2)
    await scene.end()


async def test_a_long_fetch_does_not_keep_its_generation_from_being_remembered(scene: Scene) -> None:
    await scene.start()
    await scene.serves(1)
    scene.disk.slow = True
    scene.log.publish(2)
    await scene.reconciler.announced(2)
    await scene.until(lambda: scene.state.check().accepted_generation == 2, "remembered while it is fetched")
    assert scene.told is State.FETCHING


async def test_while_it_is_held_nothing_is_begun(scene: Scene) -> None:
    await scene.start()
    await scene.serves(1)
    scene.reconciler.hold()
    scene.log.publish(2)
    await scene.reconciler.announced(2)
    await scene.until(lambda: scene.reports.last[MODEL].generation == 2, "the publication is known")
    await asyncio.sleep(0.1)
    assert scene.disk.fetched == [1]
    scene.reconciler.release()
    await scene.serves(2)


async def test_a_fetch_that_is_no_longer_wanted_is_cancelled(scene: Scene) -> None:
    scene.disk.slow = True
    await scene.start()
    await scene.until(lambda: scene.disk.fetched == [1], "it fetches")
    scene.log.publish(2)
    await scene.reconciler.announced(2)
    await scene.until(lambda: scene.disk.fetched == [1, 2], "it fetches the newer one")
    replica = scene.reconciler.replica
    assert replica is not None
    await scene.until(lambda: scene.reconciler.replica.pending.fetching == {digest(2)}, "the older one is over")  # type: ignore[union-attr]
    scene.disk.slow = False
    await scene.serves(2)


async def test_large_artifacts_that_wait_for_their_turn_keep_no_small_one_waiting() -> None:
    waiting, over = ThreadPoolExecutor(1), threading.Event()
    waiting.submit(over.wait)
    scene = Scene(Log().publish(1), large=waiting)
    try:
        await scene.start()
        await scene.serves(1)
        assert not over.is_set()
    finally:
        over.set()
        await scene.end()
        waiting.shutdown()


async def test_while_a_fetch_takes_its_time_it_is_told_how_far_it_has_come() -> None:
    scene = Scene(Log().publish(1), ReportRate(itertools.count(step=10.0).__next__))  # time enough for every word
    scene.disk.slow = True
    await scene.start()

    def told() -> Transfer:
        replica = scene.reports.last.get(MODEL)
        return replica.facts.transfers.get(digest(1), Transfer()) if replica else Transfer()

    await scene.until(lambda: told().bytes_moved > 2, "it says how much has come")
    before = told()
    assert (scene.told, before.bytes_planned, before.way) == (State.FETCHING, 1000, "whole")
    await scene.until(lambda: told().bytes_moved > before.bytes_moved, "it says that more has come")
    scene.disk.slow = False
    await scene.serves(1)
    assert told() == Transfer(1, 0, 1)  # the last word is the fetch's own
    await scene.end()


async def test_draining_waits_for_the_load_that_is_under_way(scene: Scene) -> None:
    scene.pods["p"].gate.clear()
    await scene.start()
    await scene.until(lambda: scene.pods["p"].orders, "p is told")
    scene.reconciler.hold()
    waiting = asyncio.create_task(scene.reconciler.settle_loads())
    await asyncio.sleep(0.05)
    assert not waiting.done()
    scene.pods["p"].gate.set()
    await asyncio.wait_for(waiting, 5)
    assert scene.pods["p"].serves is not None
    assert scene.pods["q"].orders == []


async def test_what_a_pod_answers_that_has_left_says_nothing_of_the_one_that_has_its_name_now(scene: Scene) -> None:
    await scene.start()
    await scene.serves(1)
    old, new = scene.pods["p"], PodInMemory("p")
    old.gate.clear()
    scene.log.publish(2)
    await scene.reconciler.announced(2)
    await scene.until(lambda: len(old.orders) == 2, "the old one is loading")
    scene.pods["p"] = new
    scene.reconciler.pods_changed(PodsKnown(("p", "q"), replaced=frozenset("p")))
    old.gate.set()
    await scene.serves(2)
    assert [order.version for order in new.orders] == [2]
    assert scene.reports.last[MODEL].pods["p"].failures == 0


async def test_pods_that_come_and_leave_while_it_runs_are_driven_and_forgotten(scene: Scene) -> None:
    await scene.start()
    await scene.serves(1)
    scene.pods["r"] = PodInMemory("r")
    scene.reconciler.pods_changed(PodsKnown(("p", "q", "r")))
    await scene.serves(1)
    del scene.pods["p"]
    scene.reconciler.pods_changed(PodsKnown(("q", "r")))
    await scene.until(lambda: set(scene.reports.last[MODEL].pods) == {"q", "r"}, "it is forgotten")
    await scene.serves(1)


async def test_who_looks_for_news_is_not_held_up_by_a_store_that_is_away(scene: Scene) -> None:
    """The watch of the registry asks each model in turn: one that is asked on keeps it from nothing."""
    await scene.start()
    await scene.serves(1)
    scene.book.trouble = StoreUnavailable("away")
    for _ in range(3):
        await asyncio.wait_for(scene.reconciler.try_refresh(), 5)
    scene.log.publish(2)
    scene.book.trouble = None
    await scene.serves(2)
