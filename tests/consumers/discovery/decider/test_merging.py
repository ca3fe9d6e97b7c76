"""What is known of fleets: pods that come, leave and change, and sources that fail or fall silent."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcast.consumers.discovery.decider.merging import (
    CONFIRM_SECONDS,
    FleetView,
    LookFailed,
    Observed,
    PodChanges,
    PodsFound,
    members_of,
    merge_look,
)
from modelcast.consumers.discovery.port import PodAddress


def pod(name: str, at: str = "", identity: str = "") -> PodAddress:
    return PodAddress(name, f"http://{at or name}:8080", identity)


def seen(*pods: PodAddress, at: float = 0.0) -> FleetView:
    return merge_look(FleetView(), PodsFound(pods), at)[0]


def after(view: FleetView, *looks: tuple[float, Observed]) -> tuple[FleetView, PodChanges]:
    changed = PodChanges()
    for at, observed in looks:
        view, changed = merge_look(view, observed, at)
    return view, changed


def test_pods_come_and_leave() -> None:
    view, changed = after(seen(pod("a"), pod("b")), (5.0, PodsFound((pod("b"), pod("c")))))
    assert set(view.pods) == {"b", "c"}
    assert changed == PodChanges(came=frozenset("c"), left=frozenset("a"))


@pytest.mark.parametrize("now", [pod("a", at="elsewhere"), pod("a", identity="another")])
def test_another_address_or_another_pod_under_a_name_is_another_pod(now: PodAddress) -> None:
    view, changed = after(seen(pod("a", identity="one")), (5.0, PodsFound((now,))))
    assert changed == PodChanges(replaced=frozenset("a"))
    assert view.pods["a"] == now


def test_a_source_that_fails_takes_nothing_away_and_the_view_says_since_when_it_is_as_it_is() -> None:
    view, changed = after(seen(pod("a"), at=3.0), (10.0, LookFailed("no route")), (1e9, LookFailed("no route")))
    assert (set(view.pods), view.seen_at, view.error) == ({"a"}, 3.0, "no route")
    assert not changed


def test_what_a_failing_source_said_counts_for_a_bounded_time_where_there_is_a_bound() -> None:
    view, _ = merge_look(seen(pod("a")), LookFailed("no such name"), 60.0, keep_seconds=60.0)
    assert set(view.pods) == {"a"}
    view, changed = merge_look(view, LookFailed("no such name"), 60.1, keep_seconds=60.0)
    assert changed == PodChanges(left=frozenset("a"))
    assert view.seen_at is None  # unknown, which is not the same as none
    assert view.error == "no such name"


def test_one_answer_without_pods_removes_none_and_a_second_look_decides() -> None:
    view, changed = after(seen(pod("a"), pod("b")), (5.0, PodsFound(())))
    assert (set(view.pods), view.doubted, bool(changed)) == ({"a", "b"}, True, False)
    back, _ = merge_look(view, PodsFound((pod("a"),)), 5.0 + CONFIRM_SECONDS)
    assert (set(back.pods), back.doubted) == ({"a"}, False)
    gone, changed = merge_look(view, PodsFound(()), 5.0 + CONFIRM_SECONDS)
    assert (dict(gone.pods), gone.doubted, gone.seen_at) == ({}, False, 5.0 + CONFIRM_SECONDS)
    assert changed.left == {"a", "b"}


def test_a_second_look_that_comes_too_soon_or_fails_confirms_nothing() -> None:
    view, _ = after(seen(pod("a")), (5.0, PodsFound(())), (5.1, PodsFound(())))
    assert set(view.pods) == {"a"}
    view, _ = after(seen(pod("a")), (5.0, PodsFound(())), (7.0, LookFailed("?")), (9.0, PodsFound(())))
    assert (set(view.pods), view.empty_since) == ({"a"}, 9.0)


def test_a_fleet_that_has_no_pods_at_the_first_look_has_none() -> None:
    view = seen()
    assert (dict(view.pods), view.seen_at, view.doubted) == ({}, 0.0, False)


POD = st.builds(pod, st.sampled_from("abc"), st.sampled_from(["", "x"]), st.sampled_from(["", "1", "2"]))
LOOK = st.one_of(
    st.just(LookFailed("away")),
    st.builds(lambda pods: PodsFound(tuple({p.name: p for p in pods}.values())), st.lists(POD, max_size=3)),
)


@given(st.lists(st.tuples(st.floats(0.0, 3.0), LOOK), max_size=12))
def test_no_pod_is_lost_but_by_an_answer_that_names_others_or_by_two_that_name_none(
    looks: Sequence[tuple[float, Observed]],
) -> None:
    view, now, since = FleetView(), 0.0, None
    for pause, observed in looks:
        now += pause
        before = view
        view, changed = merge_look(before, observed, now)
        none = isinstance(observed, PodsFound) and not observed.endpoints
        since = (now if since is None else since) if none and before.pods else None
        if isinstance(observed, LookFailed):
            assert view.pods == before.pods
        elif observed.endpoints:
            assert set(view.pods.values()) == set(observed.endpoints)
        elif before.pods:
            assert (not view.pods) == (since is not None and now - since >= CONFIRM_SECONDS)
        assert set(view.pods) == (set(before.pods) - changed.left) | changed.came
        if not view.pods:
            since = None


def test_of_two_fleets_that_name_one_pod_the_first_has_it_and_people_are_told() -> None:
    members, conflicts = members_of([seen(pod("a")), seen(pod("b", at="a"), pod("c"))])
    assert {name: member.fleet for name, member in members.items()} == {"a": 0, "c": 1}
    assert conflicts == ("two pods are at http://a:8080: a, and b, which is left out",)


def test_of_two_pods_of_one_name_the_first_fleets_is_kept_and_people_are_told() -> None:
    members, conflicts = members_of([seen(pod("a")), seen(pod("a", at="b"))])
    assert members["a"].endpoint.url == "http://a:8080"
    assert conflicts == ("two pods are called a: http://a:8080, and http://b:8080, which is left out",)
