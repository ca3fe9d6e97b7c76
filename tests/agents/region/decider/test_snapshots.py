"""A region's snapshot: whole, in pages that fit, whatever the pods say of themselves."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from modelcast.agents.region.decider.events_and_effects import (
    Contradicted,
    Fetched,
    FetchFailed,
    Fetching,
    PodLost,
    PodRead,
    PodsKnown,
    PodTraits,
    Report,
    Tick,
    Transfer,
    Unreadable,
)
from modelcast.agents.region.decider.snapshots import ERROR_KEPT_MAX, PODS_PER_PAGE, encoded, snapshot
from modelcast.consumers.pod_clients.port import PodReading
from modelcast.schemas.codec import decode, encode
from modelcast.schemas.records import Activation, CommandKind, ModelAck
from modelcast.schemas.states import PodState, State
from modelcast.schemas.topics import RECORD_SIZE_MAX
from tests.agents.region.words import Log, Region, digest, serving
from tests.support.lanes import often

NOW_US = 1_700_000_000_000_000


def pages(region: Region, sequence: int = 1) -> tuple[ModelAck, ...]:
    return snapshot(region.replica, worker="w", sequence=sequence, now_us=NOW_US, now=region.now)


def test_it_says_what_is_aspired_staged_and_served() -> None:
    region = serving("a", "b")
    (page,) = pages(region, 5)
    assert (page.epoch, page.sequence, page.page, page.pages) == (1, 5, 0, 1)
    assert (page.generation, page.version, page.state) == (1, 1, State.SERVING)
    assert (page.staged_generation, page.staged_version) == (1, 1)
    assert [(p.pod, p.state, p.version, p.read_at_us) for p in page.pods] == [
        ("a", PodState.SERVING, 1, NOW_US),
        ("b", PodState.SERVING, 1, NOW_US),
    ]
    assert (page.bytes_moved, page.bytes_total, page.pods_expected) == (10, 1001, 2)


def test_what_is_verified_counts_as_staged_before_the_bucket_remembers_it() -> None:
    region = Region("a")
    region.all_read(None)
    region.on(Log().publish(1).folded)
    assert pages(region)[0].staged_version is None
    region.on(Fetched(digest(1), Transfer(1, 2, 3)))
    (page,) = pages(region)
    assert (page.staged_version, page.state) == (1, State.STAGED)


def test_a_version_that_is_only_staged_is_told_with_its_bytes() -> None:
    region = Region("a")
    region.on(Log().publish(1, activation=Activation.STAGED).folded)
    region.fetched(1)
    (page,) = pages(region)
    assert (page.version, page.staged_version, page.bytes_total, page.state) == (None, 1, 1001, State.STAGED)


def test_what_is_fetched_ahead_of_what_is_served_is_told_while_it_is_on_its_way() -> None:
    region = serving("a")
    region.on(Log().publish(1).publish(2, activation=Activation.STAGED).folded)
    assert region.replica.pending.fetching == {digest(2)}
    region.on(Fetching(digest(2), Transfer(bytes_moved=7, bytes_planned=1002, bytes_per_second=3.25, way="whole")))
    (page,) = pages(region)
    assert page.version == 1
    assert page.state is not State.FETCHING  # that speaks of what is aspired
    assert (page.bytes_moved, page.bytes_planned, page.bytes_per_second, page.way) == (7, 1002, 3.2, "whole")
    assert page.bytes_total == 1002
    region.on(Fetched(digest(2), Transfer(1002, 0, 1002)))
    (page,) = pages(region)
    assert (page.staged_version, page.bytes_moved, page.bytes_total) == (2, 10, 1001)


def test_an_alarm_is_told() -> None:
    region = serving("a")
    region.on(Contradicted("x" * 10_000))
    (page,) = pages(region)
    assert page.error == "x" * ERROR_KEPT_MAX


def test_a_log_that_cannot_be_read_on_is_told_until_it_can() -> None:
    region = serving("a")
    effects = region.on(Unreadable("registry/fraud/log/2: not a record"))
    assert Report() in effects
    assert pages(region)[0].error == "registry/fraud/log/2: not a record"
    assert pages(region)[0].state is State.SERVING
    assert Report() in region.on(Unreadable(""))
    assert pages(region)[0].error == ""


def damaged(region: Region, version: int) -> None:
    """Its bytes arrive damaged until the region gives up."""
    for _ in range(region.replica.policy.damage_attempts):
        region.after(120.0).on(Tick())
        region.on(FetchFailed(digest(version), "blob x is not what it says", damaged=True))
    region.save_all()


def test_a_damaged_version_is_named_as_refused_whether_it_is_to_be_served_or_only_staged() -> None:
    for activation in Activation:
        log = Log().publish(1)
        region = serving("a", log=log)
        assert pages(region)[0].refused_version is None
        region.on(log.publish(2, activation=activation).folded)
        damaged(region, 2)
        (page,) = pages(region)
        assert (page.refused_version, page.pods[0].version) == (2, 1)
        assert "blob x" in page.error


def test_its_next_owner_still_says_why_a_version_is_refused() -> None:
    log = Log().publish(1)
    region = serving("a", log=log)
    region.on(log.publish(2, activation=Activation.STAGED).folded)
    damaged(region, 2)
    heir = Region("a", memory=region.replica.facts.saved.claimed_by("another"))
    heir.on(log.folded)
    (page,) = pages(heir)
    assert page.refused_version == 2
    assert "blob x" in page.error


def test_a_released_version_is_refused_no_longer_and_an_older_one_is_not_worth_a_word() -> None:
    log = Log().publish(1)
    region = serving("a", log=log)
    region.on(log.publish(2).folded)
    damaged(region, 2)
    region.settle(log.publish(3))
    assert pages(region)[0].refused_version is None
    region.settle(log.say(CommandKind.ROLLBACK, 1))
    assert pages(region)[0].refused_version == 2
    region.settle(log.say(CommandKind.RELEASE, 2))
    assert pages(region)[0].refused_version is None


def test_a_version_quarantined_in_the_log_is_refused_where_it_would_be_aspired() -> None:
    log = Log().publish(1)
    region = serving("a", log=log)
    region.settle(log.publish(2))
    region.settle(log.say(CommandKind.QUARANTINE, 2))
    assert (pages(region)[0].version, pages(region)[0].refused_version) == (1, 2)
    region.settle(log.publish(3))
    assert pages(region)[0].refused_version is None


def test_no_pods_is_one_empty_page() -> None:
    (page,) = pages(Region())
    assert (page.pods, page.pods_expected, page.pages) == ((), 0, 1)
    encode(page)


def test_a_row_says_what_serves_there_where_its_region_knows_it_from_and_its_zone() -> None:
    region = Region("a", "b")
    region.on(PodsKnown(("a", "b"), traits={"a": PodTraits(zone="z\n1", source="registration")}))
    region.on(PodRead(PodReading("a", True, "i", None, None, None, None, kind="tri\x1bton" + "x" * 100)))
    (page,) = pages(region)
    rows = {row.pod: (row.kind, row.fleet, row.zone) for row in page.pods}
    assert rows == {"a": ("triton" + "x" * 74, "registration", "z1"), "b": ("", "", "")}


@settings(max_examples=often(40, 12), deadline=None)
@given(
    count=st.sampled_from([1, 999, 1000, 1001, 2500]),
    error=st.text(max_size=2000),
    incarnation=st.text(max_size=400),
    place=st.text(max_size=400),
    version=st.sampled_from([None, 0, 1, 2**40]),
    said=st.sampled_from([None, "", "sha256:zz", digest(1)]),
)
def test_every_page_can_be_written_and_all_pods_are_in_them(
    count: int, error: str, incarnation: str, place: str, version: int | None, said: str | None
) -> None:
    names = tuple(f"pod-{n:05d}.some-rather-long-name.svc.cluster.local:8080" for n in range(count))
    region = Region(*names)
    strange = PodReading(names[0], True, incarnation, version, said, 2**40, 1, kind=place)
    region.on(PodsKnown(names, traits=dict.fromkeys(names, PodTraits(zone=place, source=place))))
    region.on(PodRead(strange))
    view = region.replica.pods[names[0]]
    region.replica = replace(region.replica, pods=dict.fromkeys(names, replace(view, error=error)))
    region.on(PodLost(names[-1], error))
    found = pages(region)
    values = encoded(region.replica, worker="w", sequence=1, now_us=NOW_US, now=region.now)
    assert all(len(value) <= RECORD_SIZE_MAX for value, _ in values)
    assert [decode(value) for value, _ in values] == list(found)
    assert all(len(p.pods) <= PODS_PER_PAGE for p in found)
    assert [r.pod for p in found for r in p.pods] == sorted(names)
    assert {(p.page, p.pages) for p in found} == {(n, len(found)) for n in range(len(found))}
    assert {p.pods_expected for p in found} == {count}
