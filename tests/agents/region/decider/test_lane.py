"""The replica of a candidate: what it orders beside what serves, when it lets go, and what it never does."""

from dataclasses import replace

import pytest

from modelcast.agents.region.decider.events_and_effects import (
    Contradicted,
    ControlServes,
    FetchFailed,
    Load,
    LoadBroken,
    Loaded,
    PodLost,
    PodRead,
    PodsKnown,
    Refold,
    Tick,
    Unload,
    Unloaded,
)
from modelcast.agents.region.decider.lane import is_over
from modelcast.agents.region.decider.rollover_policy import RolloverPolicy
from modelcast.consumers.pod_clients.port import CANDIDATE, LoadOrder
from modelcast.schemas.records import Activation, CommandKind
from modelcast.schemas.region_memory import Memory
from modelcast.schemas.states import State
from modelcast.schemas.text.amounts import Amount
from modelcast.schemas.traffic.steps_and_gates import CANARY
from tests.agents.region.rollout_words import CONTROL_1, RolloutLog, bare, beside
from tests.agents.region.words import EAGER, MODEL, REGION, REGISTRY, Region, digest, reading

AT_ONCE = replace(EAGER, rollover=RolloverPolicy(at_once=Amount(2)))


def unloads(region: Region) -> list[str]:
    return [effect.pod for effect in region.effects if isinstance(effect, Unload)]


def orders(region: Region) -> list[LoadOrder]:
    return [effect.order for effect in region.effects if isinstance(effect, Load)]


def staged(log: RolloutLog) -> Region:
    """The bytes are here, the pods were read, and what serves stands."""
    region = beside("a", "b", policy=AT_ONCE)
    region.on(PodsKnown(("a", "b")))
    region.on(ControlServes(CONTROL_1))
    for pod in ("a", "b"):
        region.on(PodRead(bare(pod)))
    region.on(log.folded)
    region.save_all()
    region.fetched(2)
    return region


def loaded(log: RolloutLog) -> Region:
    """Both pods hold the candidate."""
    region = staged(log)
    region.serve_all()
    assert region.replica.state is State.SERVING
    return region


def test_a_granted_candidate_is_fetched_and_ordered_in_its_own_lane_beside_what_serves() -> None:
    region = staged(RolloutLog().start())
    assert [(order.version, order.lane, order.generation) for order in orders(region)] == [(2, CANDIDATE, 3)] * 2
    region.serve_all()
    assert region.replica.state is State.SERVING
    assert region.replica.wished_memory().served is not None


def test_nothing_is_aspired_while_the_log_grants_nothing() -> None:
    region = staged(RolloutLog())
    assert region.fetches == []
    assert orders(region) == []


def test_a_pod_that_serves_nothing_gets_no_candidate() -> None:
    region = beside("a", "b", policy=AT_ONCE)
    region.on(PodsKnown(("a", "b")))
    region.on(ControlServes({"a": digest(1)}))
    for pod in ("a", "b"):
        region.on(PodRead(bare(pod)))
    region.on(RolloutLog().start().folded)
    region.save_all()
    region.fetched(2)
    assert region.loads == [("a", 2)]
    region.serve_all()
    region.on(ControlServes(CONTROL_1))
    assert region.loads == [("b", 2)]


def test_a_candidate_that_loads_nowhere_is_refused_with_the_reason_and_nothing_else_is_ordered_instead() -> None:
    log = RolloutLog().start()
    region = staged(log)
    for _ in range(6):
        for load in [e for e in region.effects if isinstance(e, Load)]:
            region.on(LoadBroken(load.pod, load.order, "load_failed", "no such operator"))
        region.after(120).on(Tick())
        for pod in ("a", "b"):
            region.on(PodRead(bare(pod)))
    assert region.replica.state is State.QUARANTINED
    assert "no such operator" in region.replica.facts.quarantined[0].reason
    assert region.loads == []
    assert region.replica.wished_memory().as_candidate.quarantined == region.replica.facts.quarantined


def test_damaged_bytes_are_refused_with_the_reason() -> None:
    region = beside("a")
    region.on(PodsKnown(("a",)))
    region.on(PodRead(bare("a")))
    region.on(RolloutLog().start().folded)
    for _ in range(3):
        region.on(FetchFailed(digest(2), "arrived as other bytes", damaged=True))
        region.after(120).on(Tick())
    assert region.replica.state is State.QUARANTINED
    assert "arrived as other bytes" in region.replica.facts.quarantined[0].reason


@pytest.mark.parametrize("how", ["abort", "supersede"])
def test_a_rollout_that_ends_has_every_pod_let_go_and_then_nothing_is_left(how: str) -> None:
    log = RolloutLog().start()
    region = loaded(log)
    region.on((log.abort() if how == "abort" else log.publish(3)).folded)
    region.save_all()
    assert sorted(unloads(region)) == ["a", "b"]
    assert not is_over(region.replica)
    for pod in ("a", "b"):
        region.on(Unloaded(pod))
        region.on(PodRead(bare(pod)))
    assert region.loads == []
    assert is_over(region.replica)


def test_a_pod_that_does_not_let_go_is_asked_again_after_a_pause() -> None:
    log = RolloutLog().start()
    region = loaded(log)
    region.on(log.abort().folded)
    region.on(Unloaded("a", "busy", "not now"))
    assert unloads(region) == []
    region.on(PodRead(reading("a", 2, generation=3)))
    region.after(120).on(Tick())
    assert "a" in unloads(region)


def test_a_promoted_candidate_is_not_touched_before_the_pod_has_swapped_and_the_old_one_stays_its_time() -> None:
    log = RolloutLog().start()
    region = loaded(log)
    region.on(log.promote().folded)
    region.save_all()
    assert (unloads(region), region.loads) == ([], [])
    for pod in ("a", "b"):  # the control's order has swapped the lanes
        region.on(PodRead(reading(pod, 1, generation=4)))
    region.on(ControlServes({"a": digest(2), "b": digest(2)}))
    region.save_all()
    assert region.loads == []
    assert region.replica.settled
    region.after(CANARY.bake_seconds - 1).on(Tick())
    assert unloads(region) == []
    assert region.replica.wakes_at(region.now) <= region.now + 5
    for pod in ("a", "b"):
        region.on(PodRead(reading(pod, 1, generation=4)))
    region.after(2).on(Tick())
    assert sorted(unloads(region)) == ["a", "b"]


def test_a_pod_that_restarted_gets_the_way_back_again_once_it_serves_what_was_promoted() -> None:
    log = RolloutLog().start()
    region = loaded(log)
    region.on(log.promote().folded)
    region.save_all()
    region.on(ControlServes({"a": digest(2), "b": digest(2)}))
    region.on(PodRead(reading("a", 1, generation=4)))
    region.on(PodRead(bare("b")))
    region.fetched(1)
    assert region.loads == [("b", 1)]


def test_who_takes_over_after_the_time_is_over_loads_the_old_version_no_more() -> None:
    log = RolloutLog().start().promote()
    region = beside("a", "b", policy=AT_ONCE)
    region.on(PodsKnown(("a", "b")))
    region.on(ControlServes({"a": digest(2), "b": digest(2)}))
    for pod in ("a", "b"):
        region.on(PodRead(bare(pod)))
    region.on(log.folded)
    assert (region.fetches, region.loads) == ([], [])
    assert is_over(region.replica)


def test_a_way_back_that_is_taken_finds_the_version_loaded() -> None:
    log = RolloutLog().start()
    region = loaded(log)
    region.on(log.promote().folded)
    for pod in ("a", "b"):
        region.on(PodRead(reading(pod, 1, generation=4)))
    region.on(ControlServes({"a": digest(2), "b": digest(2)}))
    region.save_all()
    region.on(log.say(CommandKind.ROLLBACK, 1).folded)
    region.save_all()
    assert unloads(region) == [], "its pods are about to be ordered just that version"
    region.on(ControlServes({"a": digest(1), "b": digest(2)}))
    assert unloads(region) == ["a"], "it has swapped"


def test_a_reload_reloads_the_candidate_once() -> None:
    log = RolloutLog().start()
    region = loaded(log)
    region.on(log.say(CommandKind.RELOAD).folded)
    region.save_all()
    assert {(order.reload, order.generation) for order in orders(region)} == {(True, 4)}
    region.serve_all()
    for pod in ("a", "b"):
        region.on(PodRead(reading(pod, 2, generation=4)))
    assert region.loads == []


def test_a_further_step_only_tells_pods_whose_order_it_is_now() -> None:
    log = RolloutLog().start()
    region = loaded(log)
    region.on(log.grants(1_000).folded)
    region.save_all()
    assert {(order.manifest_digest, order.reload) for order in orders(region)} == {(digest(2), False)}
    assert region.fetches == []


def test_a_stopped_rollover_of_the_candidate_goes_to_no_further_pod() -> None:
    policy = replace(EAGER, rollover=RolloverPolicy(at_once=Amount(1), stop_after_failures=1))
    region = beside("a", "b", policy=policy)
    region.on(PodsKnown(("a", "b")))
    region.on(ControlServes(CONTROL_1))
    for pod in ("a", "b"):
        region.on(PodRead(bare(pod)))
    region.on(RolloutLog().start().folded)
    region.save_all()
    region.fetched(2)
    load = next(e for e in region.effects if isinstance(e, Load))
    region.on(LoadBroken(load.pod, load.order, "load_timeout", "too slow"))
    region.on(PodRead(bare(load.pod)))
    region.after(120).on(Tick())
    assert region.loads == []
    assert region.replica.is_halted


def test_while_no_log_is_obeyed_a_candidate_is_neither_loaded_nor_let_go() -> None:
    log = RolloutLog().start()
    region = staged(log)
    region = loaded(log)
    region.on(Contradicted("rewritten"))
    region.on(PodRead(bare("a")))
    region.on(PodRead(reading("b", 2, generation=3)))
    region.on(log.abort().folded)
    assert (region.loads, unloads(region)) == ([], [])
    region.on(log.refolded)
    assert sorted(unloads(region)) == ["a", "b"]


def test_the_candidate_of_a_newer_rollout_takes_the_place_of_the_older() -> None:
    log = RolloutLog().start()
    region = loaded(log)
    log.publish(3, activation=log.entries[1].activation).start(3)  # type: ignore[union-attr]
    region.on(log.folded)
    region.save_all()
    region.fetched(3)
    assert {order.version for order in orders(region)} == {3}


def test_an_older_candidate_is_let_go_where_the_newer_one_serves_already() -> None:
    log = RolloutLog().start()
    region = loaded(log)
    region.on(ControlServes({"a": digest(3), "b": digest(1)}))
    log.publish(3, activation=Activation.STAGED)
    region.on(log.start(3).folded)
    region.save_all()
    assert unloads(region) == ["a"]


def test_an_older_candidate_is_let_go_where_the_newer_one_loads_nowhere() -> None:
    log = RolloutLog().start()
    region = loaded(log)
    log.publish(3, activation=Activation.STAGED)
    region.on(log.start(3).folded)
    region.save_all()
    region.fetched(3)
    older = [view.reading for view in region.replica.pods.values() if view.reading is not None]
    assert {found.version for found in older} == {2}
    seen = list(region.effects)
    while loads := [effect for effect in seen if isinstance(effect, Load)]:
        seen = []
        for load in loads:
            region.on(LoadBroken(load.pod, load.order, "load_failed", "no such operator"))
        for event in (Tick(), *map(PodRead, older), Tick()):
            region.after(60).on(event)
            seen += region.effects
    assert region.replica.is_quarantined(digest(3))
    assert {effect.pod for effect in seen if isinstance(effect, Unload)} == {"a", "b"}


def test_a_pod_of_a_higher_generation_has_the_log_read_again() -> None:
    region = staged(RolloutLog().start())
    region.serve_all()
    region.on(PodRead(reading("a", 2, generation=9)))
    assert any(isinstance(effect, Refold) for effect in region.effects)


def test_a_load_is_believed_once_it_was_read_back() -> None:
    region = staged(RolloutLog().start())
    load = next(e for e in region.effects if isinstance(e, Load))
    region.on(Loaded(load.pod, load.order))
    region.on(PodRead(bare(load.pod)))
    view = region.replica.pods[load.pod]
    assert view.code == "unconfirmed"


def test_its_part_of_the_memory_is_its_own() -> None:
    region = loaded(RolloutLog().start())
    part = region.replica.wished_memory().as_candidate
    assert part.served is not None and part.served.manifest_digest == digest(2)
    whole = replace(Memory(REGISTRY, MODEL, REGION).claimed_by("worker"), candidate=part)
    assert Memory.decode(whole.encode()) == whole
    assert whole.digests_kept == {digest(2)}
    assert Memory.decode(whole.encode()).of_candidate().served == part.served


def test_a_rollout_is_not_over_while_an_order_of_it_may_still_arrive() -> None:
    log = RolloutLog().start()
    region = staged(log)
    load = next(e for e in region.effects if isinstance(e, Load))
    region.on(log.abort().folded)
    assert not is_over(region.replica), "both load"
    for pod in ("a", "b"):
        region.on(PodLost(pod, "no answer"))
        region.after(120).on(PodRead(bare(pod)))
    assert load.pod in unloads(region) or region.replica.pods[load.pod].unloading
    assert not is_over(region.replica)
    for pod in ("a", "b"):
        region.on(Unloaded(pod))
        region.on(PodRead(bare(pod)))
    assert is_over(region.replica)


def test_a_candidate_comes_back_after_a_pause_whatever_was_written_meanwhile() -> None:
    log = RolloutLog().start()
    region = loaded(log)
    region.on(log.say(CommandKind.PAUSE).say(CommandKind.ALIAS, 1).folded)
    region.save_all()
    assert sorted(unloads(region)) == ["a", "b"]
    for pod in ("a", "b"):
        region.on(Unloaded(pod))
        region.on(PodRead(bare(pod)))
    region.on(log.say(CommandKind.RESUME).folded)
    region.save_all()
    assert {(order.version, order.generation) for order in orders(region)} == {(2, 6)}


def test_a_promotion_that_is_read_together_with_a_later_publication_leaves_the_way_back_and_no_doubt() -> None:
    log = RolloutLog().start()
    region = loaded(log)
    log.promote().publish(3, activation=Activation.STAGED)
    region.on(log.folded)
    region.save_all()
    for pod in ("a", "b"):  # the control's order, of the newest entry, has swapped the lanes
        effects = region.on(PodRead(reading(pod, 1, generation=5)))
        assert not any(isinstance(effect, Refold) for effect in effects)
    region.on(ControlServes({"a": digest(2), "b": digest(2)}))
    region.save_all()
    assert region.replica.settled
    region.after(CANARY.bake_seconds + 1).on(Tick())
    for pod in ("a", "b"):
        region.on(PodRead(reading(pod, 1, generation=5)))
    assert all(view.unloading for view in region.replica.pods.values())
