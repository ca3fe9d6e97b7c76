"""What is on its way, and what only looks like it."""

from modelcast.dashboard.view.overview import Overview
from modelcast.dashboard.view.rollouts import Rollout, rollouts
from modelcast.schemas.records import RegionState, VersionState
from modelcast.schemas.states import State
from modelcast.schemas.statuses import Limits, Status
from tests.dashboard.makers import NOW, SECOND, fetching, row, state


def done(region: str, seconds_after: float, *, began_seconds_ago: float = 100) -> RegionState:
    """A region that served version 8 so many seconds after it was published."""
    at_us = NOW - round((began_seconds_ago - seconds_after) * SECOND)
    return row(region, aspired_version=8, served_version=8, moved_at_us=at_us)


def shown(*states: VersionState) -> list[Rollout]:
    overview = Overview(Limits())
    for each in states:
        overview.take(each, NOW, NOW, "kafka")
    return rollouts(overview)


def test_a_rollout_tells_how_many_serve_it_how_long_they_took_and_who_is_slowest() -> None:
    regions = [done(f"r{n:02}", float(n)) for n in range(1, 21)]
    (found,) = shown(state("ranker", [*regions, fetching("slow", 100), fetching("slower", 100, moved_at_us=NOW)]))
    assert (found.model, found.version, found.serving, found.counted) == ("ranker", 8, 20, 22)
    assert (found.p50_seconds, found.p95_seconds, found.late_seconds) == (11.0, 20.0, 60.0)
    assert (found.since_us, found.slowest, found.status) == (NOW - 100 * SECOND, "slow", Status.LATE)


def test_a_first_version_that_no_region_serves_yet_has_no_median() -> None:
    first = [fetching("eu", 5, served_version=None, reported_version=None), fetching("us", 5)]
    (found,) = shown(state("new", first))
    assert (found.serving, found.counted, found.p50_seconds, found.p95_seconds) == (0, 2, None, None)


def test_a_pod_that_restarts_is_no_rollout() -> None:
    before = row("eu", moved_at_us=NOW - 86_400 * SECOND)
    relapsed = row("us", state=State.LOADING, served_version=None, pods_serving=1, behind_seconds=5)
    assert shown(state("fraud", [before, relapsed])) == []


def test_a_fleet_in_which_all_is_well_has_none_and_the_worst_comes_first() -> None:
    assert shown(state("fraud", [row("eu")])) == []
    found = shown(state("a", [fetching("eu", 9)]), state("b", [fetching("eu", 99)]), state("c", [fetching("eu", 300)]))
    assert [(each.model, each.status) for each in found] == [("c", Status.LATE), ("b", Status.LATE), ("a", Status.LAG)]


def test_a_region_that_is_silent_or_outside_is_not_counted_as_serving() -> None:
    regions = [
        done("eu", 3),
        fetching("us", 100),
        row("ap", silent=True, aspired_version=8),
        row("x", left_out="placement"),
    ]
    (found,) = shown(state("fraud", regions))
    assert (found.serving, found.counted) == (1, 3)
