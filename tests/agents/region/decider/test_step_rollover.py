"""The decider's rollover: the policy's bounds, what stops it, who goes on with it, and what people are told."""

from dataclasses import replace

from modelcast.agents.region.decider.events_and_effects import (
    Load,
    LoadBroken,
    Loaded,
    LoadRefused,
    PodBusy,
    PodFree,
    PodLost,
    PodRead,
    PodsKnown,
    PodsOut,
    PodTraits,
    Save,
    Tick,
)
from modelcast.agents.region.decider.rollover_policy import RolloverPolicy
from modelcast.agents.region.decider.snapshots import snapshot
from modelcast.schemas.records import CommandKind, ModelAck
from modelcast.schemas.region_memory import Halt, Memory
from modelcast.schemas.states import State
from modelcast.schemas.text.amounts import Amount
from tests.agents.region.words import EAGER, Log, Region, digest, memory_of, reading

FOUR = ("a", "b", "c", "d")


def rolling(
    policy: RolloverPolicy,
    *pods: str,
    gapless: bool = True,
    log: Log | None = None,
    traits: dict[str, PodTraits] | None = None,
) -> Region:
    """A region whose pods serve version 1, and whose disk holds version 2, which the log wants."""
    region = Region(*pods, memory=memory_of(1, 1), policy=replace(EAGER, rollover=policy))
    for pod in pods:
        region.on(PodRead(replace(reading(pod, 1), gapless=gapless)))
    region.on((log or Log().publish(1).publish(2)).folded)
    region.fetched(2)
    return region


def serves(region: Region, pod: str, version: int = 2, *, gapless: bool = True) -> None:
    """The pod obeys, and is read back."""
    order = region.replica.pods[pod].loading
    assert order is not None
    region.on(Loaded(pod, order))
    said = reading(pod, version, generation=order.generation, epoch=order.epoch)
    region.on(PodRead(replace(said, gapless=gapless)))


def told(region: Region) -> ModelAck:
    now_us = 1_700_000_000_000_000
    return snapshot(region.replica, worker="w", sequence=1, now_us=now_us, now=region.now)[0]


def test_as_many_pods_are_ordered_as_the_policy_allows_and_each_that_is_done_is_followed_by_one() -> None:
    region = rolling(RolloverPolicy(Amount(2)), *FOUR)
    assert region.loads == [("a", 2), ("b", 2)]
    assert told(region).rollover == "0 of 4 pods; waits for a, b"
    serves(region, "b")
    assert region.loads == [("c", 2)]
    assert told(region).rollover == "1 of 4 pods; waits for a, c"


def test_where_a_swap_has_a_gap_enough_pods_go_on_taking_traffic() -> None:
    region = rolling(RolloverPolicy(Amount(4), Amount(3)), *FOUR, gapless=False)
    assert region.loads == [("a", 2)]
    assert told(region).rollover == "0 of 4 pods; 3 of 4 pods take traffic, 3 must (min_healthy)"
    region.on(PodLost("d", "no route"))
    serves(region, "a", gapless=False)
    assert region.loads == []  # with d gone, b must stay
    assert "no answer from d" in told(region).rollover
    region.after(6).on(Tick())
    region.on(PodRead(replace(reading("d", 1), gapless=False)))
    assert [pod for pod, _ in region.loads] in (["b"], ["d"], [])
    for pod in ("a", "b", "c"):
        version = 2 if pod == "a" else 1
        region.on(PodRead(replace(reading(pod, version), gapless=False)))
    assert sum(view.loading is not None for view in region.replica.pods.values()) == 1


def test_a_minimum_that_no_pod_can_be_spared_from_is_said_and_hangs_nothing() -> None:
    region = rolling(RolloverPolicy(min_healthy=Amount(100, percent=True)), "a", "b", gapless=False)
    assert region.loads == []
    assert region.replica.pending.rollover.blocked
    assert "min_healthy = 100% of 2 pods lets none be swapped" in told(region).rollover
    region.on(PodsKnown(("a", "b", "c")))
    region.on(PodRead(reading("c")))
    assert region.loads == [("c", 2)]  # it serves nothing: there is nothing to lose


def test_a_pause_lies_between_batches_and_people_are_told_until_when() -> None:
    region = rolling(RolloverPolicy(Amount(2), pause_seconds=30), *FOUR)
    serves(region, "a")
    serves(region, "b")
    assert region.loads == []
    assert told(region).rollover == "2 of 4 pods; paused between two batches until 22:13:50Z"
    assert region.replica.wakes_at(region.now) <= region.now + 30
    region.after(29).on(Tick())
    for pod in ("c", "d"):
        region.on(PodRead(reading(pod, 1)))
        assert region.loads == []
    region.after(1).on(Tick())
    ordered = region.loads
    for pod in ("c", "d"):
        region.on(PodRead(reading(pod, 1)))
        ordered += region.loads
    assert ordered == [("c", 2), ("d", 2)]


def test_a_rollback_and_a_pin_wait_for_no_pause() -> None:
    careful = RolloverPolicy(Amount(1), pause_seconds=300)
    log = Log().publish(1).publish(2)
    region = Region("a", "b", memory=memory_of(2, 2), policy=replace(EAGER, rollover=careful))
    region.all_read(2)
    region.on(log.say(CommandKind.ROLLBACK, 1).folded)
    region.fetched(1)
    serves(region, "a", 1)
    assert region.loads == [("b", 1)]
    region = rolling(careful, "a", "b", log=Log().publish(1).publish(2).say(CommandKind.PIN, 2))
    serves(region, "a")
    assert region.loads == [("b", 2)]


def stopped() -> Region:
    """Version 2 was refused by the first of four pods."""
    region = rolling(RolloverPolicy(Amount(1), stop_after_failures=1), *FOUR)
    region.on(LoadBroken("a", region.order(), "out_of_resources", "needs 9 GiB, 4 GiB are free"))
    return region


def test_a_failed_pod_stops_the_rollover_and_the_region_says_why_and_how_to_go_on() -> None:
    region = stopped()
    region.after(100).all_read(1)
    assert (region.loads, region.replica.state) == ([], State.FAILED)
    assert told(region).error == (
        "rollover stopped: a failed: out_of_resources: needs 9 GiB, 4 GiB are free; "
        "to go on: modelcast activate fraud/2 --reason TEXT"
    )


def test_that_it_was_stopped_is_saved_and_who_takes_over_does_not_go_on() -> None:
    region = stopped()
    assert region.unsaved is not None
    region.save_all()
    memory = Memory.decode(region.replica.facts.saved.encode())
    assert memory.halt == Halt(2, "a failed: out_of_resources: needs 9 GiB, 4 GiB are free")
    heir = Region(*FOUR, memory=memory.claimed_by("heir"), policy=region.replica.policy)
    heir.all_read(1)
    heir.on(Log().publish(1).publish(2).folded)
    heir.fetched(2)
    heir.after(60).all_read(1)
    assert {version for _, version in heir.loads} <= {1}  # they learn of their new owner
    assert heir.replica.is_halted


def test_a_new_version_a_reload_and_an_activation_go_on() -> None:
    for go_on in (
        lambda log: log.publish(3),
        lambda log: log.say(CommandKind.RELOAD),
        lambda log: log.say(CommandKind.ACTIVATE, 2),
        lambda log: log.say(CommandKind.RELEASE, 2),
    ):
        region = stopped()
        log = go_on(Log().publish(1).publish(2))
        region.save_all()
        region.on(log.folded)
        version = max(log.fold.updates)
        if version == 3:
            region.fetched(3)
        region.save_all()
        assert not region.replica.is_halted
        region.after(60).all_read(1)
        assert [view for view in region.replica.pods.values() if view.loading]


def test_while_it_is_stopped_a_pod_that_serves_nothing_gets_what_was_served_last() -> None:
    region = stopped()
    region.save_all()
    region.on(PodRead(reading("c")))
    assert region.loads == [("c", 1)]


def test_failures_that_blame_no_pod_do_not_stop_it() -> None:
    region = rolling(RolloverPolicy(Amount(1), stop_after_failures=1), *FOUR)
    region.on(LoadRefused("a", region.order(), "superseded", "a newer order arrived"))
    assert not region.replica.is_halted
    assert region.loads == [("b", 2)]


def test_a_pod_that_dies_in_its_load_counts_and_one_that_is_just_gone_does_not() -> None:
    region = rolling(RolloverPolicy(Amount(1), stop_after_failures=1), *FOUR)
    region.on(PodLost("d", "no route"))
    assert not region.replica.is_halted
    region.on(PodLost("a", "connection reset"))
    assert region.replica.is_halted
    assert "a failed: lost: connection reset" in told(region).error


def test_a_pod_that_dies_before_it_has_served_for_long_enough_stops_it() -> None:
    region = rolling(RolloverPolicy(Amount(1), stop_after_failures=1, min_ready_seconds=20), *FOUR)
    serves(region, "a")
    assert (region.loads, told(region).rollover) == ([], "1 of 4 pods; waits for a")
    region.after(10).on(PodLost("a", "connection refused"))
    assert region.replica.is_halted


def test_a_rollover_that_takes_too_long_is_stopped() -> None:
    region = rolling(RolloverPolicy(Amount(1), deadline_seconds=60), "a", "b")
    serves(region, "a")
    assert region.replica.wakes_at(region.now) <= region.now + 60
    region.after(60).on(Tick())
    assert region.replica.is_halted
    assert "1 of 2 pods had it after 60 s" in told(region).error


def test_a_dead_pod_keeps_neither_the_others_waiting_nor_the_rollover_open() -> None:
    region = rolling(RolloverPolicy(Amount(1), deadline_seconds=60), "a", "b")
    region.on(PodLost("b", "no route"))
    serves(region, "a")
    region.after(600).on(Tick())
    assert (region.replica.is_halted, told(region).rollover) == (False, "")


def test_a_pod_that_comes_long_after_a_rollover_has_a_deadline_of_its_own() -> None:
    region = rolling(RolloverPolicy(Amount(1), deadline_seconds=60), "a", "b")
    serves(region, "a")
    serves(region, "b")
    region.after(3600).on(PodsKnown(("a", "b", "c")))
    region.on(PodRead(reading("c", 1)))
    assert (region.loads, region.replica.is_halted) == ([("c", 2)], False)
    region.after(60).on(Tick())
    assert region.replica.is_halted


def test_a_reload_that_was_stopped_reloads_no_further_pod_and_is_not_told_as_done() -> None:
    log = Log().publish(1)
    region = Region(
        *FOUR, memory=memory_of(1, 1), policy=replace(EAGER, rollover=RolloverPolicy(Amount(1), stop_after_failures=1))
    )
    region.all_read(1)
    region.on(log.folded)
    region.on(log.say(CommandKind.RELOAD).folded)
    region.save_all()
    load = next(e for e in region.effects if isinstance(e, Load))
    region.on(LoadBroken("a", load.order, "out_of_resources", "full"))
    region.after(100).all_read(1)
    assert (region.loads, region.replica.is_halted, region.replica.state) == ([], True, State.FAILED)


def test_who_takes_over_goes_on_where_the_pods_stand() -> None:
    careful = RolloverPolicy(Amount(1), pause_seconds=30)
    region = Region(*FOUR, memory=memory_of(1, 1).claimed_by("heir"), policy=replace(EAGER, rollover=careful))
    region.on(Log().publish(1).publish(2).folded)
    region.fetched(2)
    for pod, version in (("a", 2), ("b", 1), ("c", 1), ("d", 1)):
        region.on(PodRead(reading(pod, version, epoch=2)))
    assert [pod for pod, _ in region.loads] == []
    assert "paused" in told(region).rollover  # it can't know when the last one was done
    region.after(30).on(Tick())
    for pod in ("b", "c", "d"):
        region.on(PodRead(reading(pod, 1, epoch=2)))
        if region.loads:
            break
    assert region.loads == [("b", 2)]


def test_a_pod_that_loads_another_model_is_left_out_until_it_is_free() -> None:
    region = rolling(RolloverPolicy(Amount(1)), "a", "b")
    assert region.loads == [("a", 2)]
    region.on(PodBusy("a", "spam"))
    assert region.loads == [("b", 2)]
    serves(region, "b")
    assert (region.loads, told(region).rollover) == ([], "1 of 2 pods; waits for a, which loads spam")
    region.on(PodFree("a"))
    assert region.loads == [("a", 2)]


def test_a_pod_that_another_model_takes_out_of_traffic_counts_as_out() -> None:
    region = rolling(RolloverPolicy(Amount(2)), "a", "b", gapless=False)
    assert region.loads == [("a", 2)]
    region = Region("a", "b", memory=memory_of(1, 1), policy=EAGER)
    for pod in ("a", "b"):
        region.on(PodRead(replace(reading(pod, 1), gapless=False)))
    region.on(PodsOut({"a": "spam"}))
    region.on(Log().publish(1).publish(2).folded)
    region.fetched(2)
    assert region.loads == []
    assert told(region).rollover == "0 of 2 pods; 1 of 2 pods take traffic, 1 must (min_healthy)"
    region.on(PodRead(replace(reading("a", 1), gapless=False)))
    assert region.loads == []  # a reading does not say what another model does there
    region.on(PodsOut({}))
    assert region.loads == [("a", 2)]


def test_each_fleet_with_a_policy_of_its_own_is_counted_for_itself() -> None:
    traits = {"c": PodTraits("fleet 1"), "d": PodTraits("fleet 1")}
    region = Region(
        *FOUR,
        memory=memory_of(1, 1),
        policy=replace(EAGER, fleet_rollovers={"fleet 1": RolloverPolicy(Amount(100, percent=True))}),
    )
    region.on(PodsKnown(FOUR, traits=traits))
    region.all_read(1)
    region.on(Log().publish(1).publish(2).folded)
    region.fetched(2)
    assert region.loads == [("a", 2), ("c", 2), ("d", 2)]


def test_once_every_pod_confirms_nothing_is_stopped_any_more() -> None:
    region = stopped()
    region.save_all()
    assert any(isinstance(e, Save) for e in region.on(PodsKnown(("b",)))) or region.replica.is_halted
    region.on(PodRead(replace(reading("b", 2), manifest_digest=digest(2))))
    assert (region.replica.state, region.replica.is_halted) == (State.SERVING, False)
