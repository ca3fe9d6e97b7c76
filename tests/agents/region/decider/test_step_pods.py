"""The decider of one model in one region and its pods: what they say, and what they are told."""

from copy import copy
from dataclasses import replace

import pytest

from modelcast.agents.region.decider.events_and_effects import (
    FetchFailed,
    Load,
    LoadBroken,
    Loaded,
    LoadRefused,
    PodLost,
    PodRead,
    PodsKnown,
    Refold,
    Tick,
)
from modelcast.consumers.pod_clients.port import LoadOrder, PodReading, Proof
from modelcast.schemas.records import CommandKind
from modelcast.schemas.region_memory import Quarantine
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


@pytest.mark.parametrize(
    "code", ["unsupported", "not_delivered", "server_failed", "out_of_resources", "load_timeout", "internal_error", "x"]
)
def test_a_fault_of_the_environment_is_tried_again_ever_more_slowly_and_blames_no_version(code: str) -> None:
    log = Log().publish(1)
    region = serving("a", log=log)
    region.on(log.publish(2).folded)
    region.fetched(2)
    pauses = []
    for _ in range(8):
        region.on(LoadBroken("a", region.order(), code, "mend me"))
        assert region.loads == []
        report = region.replica.pod_report("a", 10**12, region.now)
        assert (report.state, report.error) == (PodState.FAILED, f"{code}: mend me")
        failed_at = region.now
        region.all_read(1)
        while not region.loads:
            region.now = region.replica.wakes_at(region.now)
            assert region.now < failed_at + 120
            region.on(Tick())
            if region.reads:
                region.all_read(1)
        pauses.append(region.now - failed_at)
    assert region.replica.state is State.LOADING
    assert pauses[-1] > 20 * pauses[0]
    assert region.replica.facts.quarantined == ()


def test_a_refused_request_blames_no_version() -> None:
    log = Log().publish(1)
    region = serving("a", log=log)
    region.on(log.publish(2).folded)
    region.fetched(2)
    for _ in range(5):
        region.on(LoadRefused("a", region.order(), "request_refused", "unknown parameter"))
        region.after(60).on(Tick())
        region.all_read(1)
    assert region.replica.facts.quarantined == ()
    assert region.loads == [("a", 2)]


def test_bytes_that_rotted_on_the_disk_are_fetched_again() -> None:
    log = Log().publish(1)
    region = serving("a", log=log)
    region.on(log.publish(2).folded)
    region.fetched(2)
    region.on(LoadBroken("a", region.order(), "verification_failed", "model.onnx differs"))
    assert (region.fetches, region.replica.state) == ([2], State.FETCHING)


def foreign(version: int | None, *, proof: Proof = "memory") -> PodReading:
    """What a server of another kind says of itself."""
    return PodReading("a", True, "", version, None, None, None, proof=proof)


def loading_at(*pods: str) -> tuple[Region, LoadOrder]:
    """A region that serves version 1 and brings version 2 to its pods; their order."""
    log = Log().publish(1)
    region = serving(*pods, log=log)
    region.on(log.publish(2).folded)
    region.fetched(2)
    return region, region.order()


@pytest.mark.parametrize("code", ["verification_failed", "load_failed"])
def test_what_fails_on_one_pod_alone_counts_against_that_pod(code: str) -> None:
    region, order = loading_at("a", "b")
    region.on(PodRead(reading("b", 2)))
    for _ in range(5):
        region.on(LoadBroken("a", order, code, "model.onnx"))
    assert region.replica.facts.quarantined == ()
    region.on(PodLost("b", "restarts"))  # what failed while it served does not count now
    region.on(LoadBroken("a", order, code, "model.onnx"))
    assert region.replica.facts.quarantined == ()


@pytest.mark.parametrize(
    ("code", "reason"), [("verification_failed", "damaged 3 times"), ("load_failed", "loads nowhere")]
)
def test_what_fails_while_no_pod_serves_it_counts_against_the_version(code: str, reason: str) -> None:
    region, order = loading_at("a", "b")
    for pod in "aba":
        assert region.replica.facts.quarantined == ()
        region.on(LoadBroken(pod, order, code, "model.onnx"))
    (quarantine,) = region.replica.facts.quarantined
    assert quarantine.reason == f"{reason}: model.onnx"


def failed_at_a_and_loading_at_b(code: str) -> tuple[Region, LoadOrder]:
    region, order = loading_at("a", "b")
    region.on(LoadBroken("a", order, code, "model.onnx"))
    if region.fetches:
        region.fetched(2)
    assert region.replica.view_of("b").loading is not None
    return region, order


@pytest.mark.parametrize("code", ["verification_failed", "load_failed"])
def test_one_pods_word_alone_waits_for_what_the_others_that_load_will_say(code: str) -> None:
    region, order = failed_at_a_and_loading_at_b(code)
    for _ in range(3):
        region.on(LoadBroken("a", order, code, "model.onnx"))
    assert region.replica.facts.quarantined == ()
    served = copy(region)
    served.on(Loaded("b", order))
    served.on(PodRead(reading("b", 2)))
    served.on(PodLost("b", "restarts"))  # what failed before it served does not count now
    served.on(LoadBroken("a", order, code, "model.onnx"))
    assert served.replica.facts.quarantined == ()
    region.on(LoadBroken("b", order, code, "model.onnx"))
    assert [q.version for q in region.replica.facts.quarantined] == [2]


@pytest.mark.parametrize("code", ["verification_failed", "load_failed"])
def test_one_pods_word_alone_is_enough_once_the_others_are_gone(code: str) -> None:
    region, order = failed_at_a_and_loading_at_b(code)
    for _ in range(2):
        region.on(LoadBroken("a", order, code, "model.onnx"))
    assert region.replica.facts.quarantined == ()
    region.on(PodLost("b", "gone"))
    region.on(LoadBroken("a", order, code, "model.onnx"))
    assert [q.version for q in region.replica.facts.quarantined] == [2]


def test_a_fetch_that_brings_damaged_bytes_counts_against_the_version_whatever_a_pod_serves() -> None:
    region, _ = loading_at("a", "b")
    region.on(PodRead(reading("b", 2)))
    for _ in range(3):
        region.on(FetchFailed(digest(2), "other bytes", damaged=True))
    assert [q.version for q in region.replica.facts.quarantined] == [2]


@pytest.mark.parametrize(
    ("reads", "blamed"), [(foreign(2), False), (foreign(2, proof="disk"), True), (foreign(1), True)]
)
def test_a_server_that_names_only_versions_proves_the_bytes_that_are_aspired(reads: PodReading, blamed: bool) -> None:
    region, order = loading_at("a", "b")
    region.on(PodRead(replace(reads, pod="b")))
    for _ in range(3):
        region.on(LoadBroken("a", order, "verification_failed", "model.onnx"))
    assert bool(region.replica.facts.quarantined) is blamed


def test_a_foreign_server_that_names_only_versions_is_driven_and_believed() -> None:
    log = Log().publish(1)
    region = Region("a")
    region.on(PodRead(foreign(None)))
    region.on(log.folded)
    region.fetched(1)
    assert region.loads == [("a", 1)]
    region.on(Loaded("a", region.order()))
    region.on(PodRead(foreign(1)))
    assert region.replica.state is State.SERVING


@pytest.mark.parametrize("read_back", [1, None, 3])
def test_a_foreign_server_that_reads_back_another_version_has_failed_and_is_told_again_later(
    read_back: int | None,
) -> None:
    """Told again at once, it would load without end: 20 times a second against a real server."""
    log = Log().publish(1)
    region = Region("a")
    region.on(PodRead(foreign(1)))
    region.on(log.publish(2).folded)
    region.fetched(2)
    region.on(Loaded("a", region.order()))
    region.on(PodRead(foreign(read_back)))
    assert (region.replica.state, region.loads) == (State.FAILED, [])
    assert region.replica.pods["a"].code == "unconfirmed"
    region.after(10).on(Tick())
    region.on(PodRead(foreign(read_back)))
    assert region.loads == [("a", 2)]


def test_what_a_server_reads_from_its_disk_confirms_nothing() -> None:
    log = Log().publish(1)
    region = Region("a")
    region.on(PodRead(foreign(None)))
    region.on(log.folded)
    region.fetched(1)
    region.on(Loaded("a", region.order()))
    region.on(PodRead(foreign(1, proof="disk")))
    assert region.replica.state is State.FAILED
    assert "disk" in region.replica.pods["a"].error
    region.on(PodRead(replace(reading("a", 1), proof="disk")))
    assert region.replica.state is not State.SERVING
    assert not region.replica.serves_bytes(region.replica.pods["a"])


def test_a_pod_that_names_the_older_order_after_a_load_is_not_told_again_at_once() -> None:
    log = Log().publish(1)
    region = serving("a", log=log)
    region.on(log.say(CommandKind.RELOAD).folded)
    region.save_all()
    orders = 0
    for _ in range(5):
        orders += len(region.loads)
        if region.loads:
            region.on(Loaded("a", region.order()))
        region.on(PodRead(reading("a", 1, generation=1)))
    assert orders == 1


def test_a_pod_that_names_no_generation_reloads_when_told_to_and_is_believed_only_then() -> None:
    log = Log().publish(1)
    region = Region("a")
    region.on(PodRead(foreign(None)))
    region.on(log.folded)
    region.fetched(1)
    region.on(Loaded("a", region.order()))
    region.on(PodRead(foreign(1)))
    region.save_all()
    region.on(log.say(CommandKind.RELOAD).folded)
    region.save_all()
    load = next(e for e in region.effects if isinstance(e, Load))
    assert (load.order.version, load.order.reload) == (1, True)
    region.on(PodRead(foreign(1)))
    assert region.replica.state is State.LOADING
    region.on(Loaded("a", load.order))
    region.on(PodRead(foreign(1)))
    assert (region.replica.state, region.loads) == (State.SERVING, [])


def test_a_region_without_pods_stages_and_never_says_that_it_serves() -> None:
    region = Region()
    region.on(PodsKnown(()))
    region.on(Log().publish(1).folded)
    assert region.fetches == [1]
    region.fetched(1)
    assert region.replica.state is State.STAGED
    assert region.replica.facts.saved.served is None
