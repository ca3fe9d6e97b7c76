"""The decider of one model in one region and its pods: what they say, and what they are told."""

from modelcast.agents.region.decider.memory import Quarantine
from modelcast.agents.region.decider.values import (
    LoadBroken,
    Loaded,
    PodLost,
    PodRead,
    PodsKnown,
    Refold,
    Tick,
)
from modelcast.schemas.states import PodState, State
from tests.agents.region.words import Log, Region, digest, memory_of, reading, serving


def test_a_new_owner_adopts_what_is_served_without_fetching_it() -> None:
    region = Region("a", "b", memory=memory_of(1, 1).claimed_by("new"))
    region.on(Log().publish(1).folded)
    assert region.fetches == []
    region.on(PodRead(reading("a", 1)))
    assert (region.fetches, region.loads) == ([], [("a", 1)])
    assert (region.order().epoch, region.order().reload) == (2, False)
    order = region.order()
    region.on(PodRead(reading("b", 1)))
    region.on(Loaded("a", order))
    region.on(PodRead(reading("a", 1, epoch=2)))
    region.serve_all()
    assert region.replica.state is State.SERVING


def test_one_pod_that_lacks_the_bytes_is_reason_enough_to_fetch_whatever_the_other_will_say() -> None:
    region = Region("a", "b", memory=memory_of(1, 1).claimed_by("new"))
    region.on(Log().publish(1).folded)
    region.on(PodRead(reading("a", None)))
    assert region.fetches == [1]


def test_a_pod_that_serves_nothing_gets_what_was_served_last_while_the_new_version_cannot_be_had() -> None:
    log = Log().publish(1).publish(2)
    region = Region("a", memory=memory_of(1, 1, quarantined=(Quarantine(digest(2), 2, 2, "damaged"),)))
    region.on(log.folded)
    region.all_read(None)
    order = region.order()
    assert (order.version, order.generation) == (1, 1)


def test_what_was_served_last_is_fetched_again_if_the_cache_has_lost_it() -> None:
    log = Log().publish(1).publish(2)
    region = Region("a", memory=memory_of(1, 1, quarantined=(Quarantine(digest(2), 2, 2, "damaged"),)))
    region.on(log.folded)
    region.all_read(None)
    region.on(LoadBroken("a", region.order(), "artifact_missing", "not in the cache"))
    assert region.fetches == [1]
    region.fetched(1)
    region.after(60).on(Tick())
    region.all_read(None)
    assert region.loads == [("a", 1)]


def test_a_pod_is_never_lowered_even_if_the_log_seems_to_say_so() -> None:
    region = Region("a")
    region.on(Log().publish(1).folded)
    region.save_all()
    region.all_read(2, generation=7)
    assert region.loads == []
    assert any(isinstance(e, Refold) for e in region.effects)
    region.fetched(1)
    assert region.loads == []


def test_a_pod_that_vanishes_is_forgotten_and_a_new_one_is_served() -> None:
    region = serving("a", "b")
    region.on(PodsKnown(("b", "c")))
    assert region.reads == ["c"]
    assert region.replica.state is State.LOADING
    region.on(PodRead(reading("c", None)))
    assert region.loads == [("c", 1)]
    region.on(PodRead(reading("a", 1)))
    assert set(region.replica.pods) == {"b", "c"}


def test_a_pod_that_does_not_answer_holds_up_nobody() -> None:
    log = Log().publish(1)
    region = serving("a", "b", log=log)
    region.on(log.publish(2).folded)
    region.fetched(2)
    assert region.loads == [("a", 2)]
    region.on(PodLost("a", "no route"))
    assert region.loads == [("b", 2)]
    assert region.replica.pod_report("a", 10**12, region.now).state is PodState.UNREACHABLE
    region.serve_all()
    assert region.replica.state is State.LOADING  # it counts: the region does not serve yet


def test_a_pod_that_dies_while_it_loads_is_noticed_by_reading_it() -> None:
    log = Log().publish(1)
    region = serving("a", "b", log=log)
    region.on(log.publish(2).folded)
    region.fetched(2)
    region.after(6).on(Tick())
    assert region.reads == ["a", "b"]
    region.on(PodLost("a", "gone"))
    region.on(PodRead(reading("b", 1)))
    assert region.loads == [("b", 2)]


def test_a_read_that_began_before_the_load_answered_is_not_its_read_back() -> None:
    log = Log().publish(1)
    region = serving("a", log=log)
    region.on(log.publish(2).folded)
    region.fetched(2)
    order = region.order()
    region.after(6).on(Tick())
    assert region.reads == ["a"]
    region.on(Loaded("a", order))
    assert region.reads == []
    region.on(PodRead(reading("a", 1)))  # read before
    assert region.reads == ["a"]
    assert region.replica.pods["a"].failures == 0
    region.on(PodRead(reading("a", 2)))
    assert region.replica.state is State.SERVING


def test_a_pod_that_lies_about_its_load_is_found_out_and_told_again_later() -> None:
    log = Log().publish(1)
    region = serving("a", log=log)
    region.on(log.publish(2).folded)
    region.fetched(2)
    region.on(Loaded("a", region.order()))
    region.on(PodRead(reading("a", 1)))
    assert (region.replica.state, region.loads) == (State.FAILED, [])
    region.after(10).on(Tick())
    region.on(PodRead(reading("a", 1)))
    assert region.loads == [("a", 2)]


def test_a_version_that_loads_nowhere_is_quarantined() -> None:
    log = Log().publish(1)
    region = serving("a", log=log)
    region.on(log.publish(2).folded)
    region.fetched(2)
    for _ in range(3):
        region.on(LoadBroken("a", region.order(), "load_failed", "not a model"))
        region.after(60).on(Tick())
        region.all_read(1)
    assert region.replica.state is State.QUARANTINED
    assert region.loads == []


def test_bytes_that_rotted_on_the_disk_are_fetched_again() -> None:
    log = Log().publish(1)
    region = serving("a", log=log)
    region.on(log.publish(2).folded)
    region.fetched(2)
    region.on(LoadBroken("a", region.order(), "verification_failed", "model.onnx differs"))
    assert (region.fetches, region.replica.state) == ([2], State.FETCHING)


def test_a_foreign_server_that_names_only_versions_is_driven_and_believed() -> None:
    from modelcast.consumers.pod_clients.port import PodReading

    log = Log().publish(1)
    region = Region("a")
    region.on(PodRead(PodReading("a", True, "", None, None, None, None)))
    region.on(log.folded)
    region.fetched(1)
    assert region.loads == [("a", 1)]
    region.on(Loaded("a", region.order()))
    region.on(PodRead(PodReading("a", True, "", 1, None, None, None)))
    assert region.replica.state is State.SERVING


def test_a_region_without_pods_stages_and_never_says_that_it_serves() -> None:
    region = Region()
    region.on(PodsKnown(()))
    region.on(Log().publish(1).folded)
    assert region.fetches == [1]
    region.fetched(1)
    assert region.replica.state is State.STAGED
    assert region.replica.facts.saved.served is None
