"""The decider when pods come and go: what is not known is never taken for done, what left is not waited for."""

from modelcast.agents.region.decider.events_and_effects import Loaded, PodLost, PodRead, PodsKnown, Report
from modelcast.agents.region.decider.snapshots import snapshot
from modelcast.schemas.records import ModelAck
from modelcast.schemas.states import PodState, State
from tests.agents.region.words import Log, Region, reading, serving


def ack(region: Region) -> ModelAck:
    (page,) = snapshot(region.replica, worker="w", sequence=1, now_us=1, now=region.now)
    return page


def test_a_pod_that_was_replaced_under_its_name_serves_nothing_before_it_is_read() -> None:
    region = serving("a", "b")
    region.on(PodsKnown(("a", "b"), replaced=frozenset("a")))
    assert region.replica.state is State.LOADING
    assert region.replica.pod_report("a", 1, region.now).state is PodState.PENDING
    assert region.reads == ["a"]
    region.on(PodRead(reading("a", 1)))
    assert region.replica.state is State.SERVING


def test_a_pod_that_comes_back_with_an_old_version_is_brought_to_the_aspired_one_before_it_counts() -> None:
    log = Log().publish(1).publish(2)
    region = serving("a", "b", log=log)
    region.on(PodsKnown(("b",)))
    assert region.replica.state is State.SERVING
    region.on(PodsKnown(("a", "b")))
    region.on(PodRead(reading("a", 1)))
    assert region.replica.state is State.LOADING
    assert region.loads == [("a", 2)]
    region.on(Loaded("a", region.order()))
    region.on(PodRead(reading("a", 2)))
    assert region.replica.state is State.SERVING


def test_a_pod_that_left_is_not_waited_for_also_where_it_was_lost_or_loading() -> None:
    log = Log().publish(1)
    region = serving("a", "b", "c", log=log)
    region.on(log.publish(2).folded)
    region.fetched(2)
    region.on(PodLost("b", "no route"))
    assert region.loads == []  # a loads
    region.on(PodsKnown(("c",)))
    assert region.loads == [("c", 2)]
    region.on(Loaded("c", region.order()))
    region.on(PodRead(reading("c", 2)))
    assert region.replica.state is State.SERVING
    assert [pod.pod for pod in ack(region).pods] == ["c"]


def test_a_region_without_pods_has_none_and_serves_nothing_whatever_it_has_staged() -> None:
    region = serving("a")
    region.on(PodsKnown(()))
    assert region.replica.state is State.STAGED
    assert (ack(region).pods_expected, ack(region).pods) == (0, ())


def test_while_a_fleet_is_unknown_its_region_is_not_settled_and_says_why() -> None:
    region = serving("a")
    effects = region.on(
        PodsKnown(("a",), fleets_unknown=1, trouble="the pods of fleet registration are not known: away")
    )
    assert any(isinstance(e, Report) for e in effects)
    assert region.replica.state is State.LOADING
    assert (ack(region).pods_expected, len(ack(region).pods)) == (2, 1)
    assert ack(region).error == "the pods of fleet registration are not known: away"
    region.on(PodsKnown(("a",)))
    assert (region.replica.state, ack(region).error) == (State.SERVING, "")


def test_pods_that_are_known_are_driven_although_another_fleet_is_not() -> None:
    region = Region()
    region.on(PodsKnown((), fleets_unknown=1))
    region.on(Log().publish(1).folded)
    assert region.fetches == []  # not a region without pods: what its pods serve is not known
    region.on(PodsKnown(("a",), fleets_unknown=1))
    region.on(PodRead(reading("a", None)))
    region.fetched(1)
    region.save_all()
    assert region.loads == [("a", 1)]


def test_a_source_that_can_not_be_looked_at_changes_nothing_but_is_told() -> None:
    region = serving("a")
    effects = region.on(PodsKnown(("a",), trouble="the pods of fleet k are those of 12:00:00 UTC: HTTP 503"))
    assert any(isinstance(e, Report) for e in effects)
    assert region.replica.state is State.SERVING
    assert ack(region).error == "the pods of fleet k are those of 12:00:00 UTC: HTTP 503"
