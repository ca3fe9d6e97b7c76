"""Before the announcement or beside it: what is chosen is what serves the slowest region."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcast.deltas.publish.planning.timing import (
    GAIN_MIN,
    LOOK_SECONDS,
    WAIT_SECONDS_MAX,
    DeltaTiming,
    RegionLink,
    arrival_seconds,
    deltas_awaited,
    slowest_seconds,
)

GB = 10**9
SLOW, FAST = 12.5e6, 1.25e9

offers = st.lists(
    st.builds(DeltaTiming, st.integers(0, 5), st.integers(1, 4 * GB), st.floats(0.01, 600)),
    max_size=5,
    unique_by=lambda o: o.base_version,
)
links = st.lists(
    st.builds(
        RegionLink, st.text("abc", min_size=1, max_size=3), st.floats(1e4, 1e10), st.frozensets(st.integers(1, 5))
    ),
    max_size=4,
)
wholes = st.integers(1, 8 * GB)


def test_a_delta_that_takes_longer_than_a_slow_region_would_wait_is_made_first() -> None:
    offer = DeltaTiming(6, GB // 5, 2 * WAIT_SECONDS_MAX)
    assert deltas_awaited(4 * GB, [offer], [RegionLink("eu", SLOW, frozenset({6}))]) == 1


@pytest.mark.parametrize("other", [RegionLink("us", FAST, frozenset({6})), RegionLink("us", 0.0, frozenset({6}))])
def test_a_delta_that_is_soon_there_keeps_no_other_region_waiting(other: RegionLink) -> None:
    offered = [DeltaTiming(6, GB // 5, 10.0)]
    slow = RegionLink("eu", SLOW, frozenset({6}))
    assert deltas_awaited(4 * GB, offered, [slow, other]) == 0
    assert deltas_awaited(4 * GB, offered, [slow]) == 1  # it alone would wait for it


def test_over_a_fast_link_nothing_is_waited_for() -> None:
    assert deltas_awaited(4 * GB, [DeltaTiming(6, GB // 5, 60.0)], [RegionLink("eu", FAST, frozenset({6}))]) == 0


def test_a_delta_that_no_slow_region_can_use_is_not_waited_for() -> None:
    offered = [DeltaTiming(6, GB // 5, 60.0), DeltaTiming(2, GB // 5, 60.0)]
    assert (
        deltas_awaited(
            4 * GB, offered, [RegionLink("eu", SLOW, frozenset({6})), RegionLink("us", FAST, frozenset({2}))]
        )
        == 1
    )


def test_regions_of_unknown_speed_hold_nobody_back() -> None:
    assert deltas_awaited(4 * GB, [DeltaTiming(6, 1, 60.0)], [RegionLink("eu", 0.0, frozenset({6}))]) == 0
    assert deltas_awaited(4 * GB, [DeltaTiming(6, 1, 60.0)], []) == 0


def test_a_region_that_waited_in_vain_still_brings_the_whole() -> None:
    link = RegionLink("eu", 1e6, frozenset({6}))
    never = DeltaTiming(6, 10**6, 1e6)
    assert arrival_seconds(10**8, [never], link, 0) == pytest.approx(WAIT_SECONDS_MAX + 100)


@given(wholes, offers, links)
def test_no_other_choice_serves_the_slowest_region_much_sooner(
    whole: int, made: list[DeltaTiming], regions: list[RegionLink]
) -> None:
    chosen = deltas_awaited(whole, made, regions)
    assert 0 <= chosen <= len(made)
    mine = slowest_seconds(whole, made, regions, chosen)
    for other in range(len(made) + 1):
        assert mine <= slowest_seconds(whole, made, regions, other) * GAIN_MIN + 1e-6
    if chosen and mine * GAIN_MIN > slowest_seconds(whole, made, regions, 0) + 1e-6:
        for link in regions:  # then nobody pays for it
            assert link.bytes_per_second > 0
            assert arrival_seconds(whole, made, link, chosen) <= arrival_seconds(whole, made, link, 0)


@given(wholes, offers, links, st.integers(0, 5))
def test_no_region_is_served_later_than_by_the_whole_after_the_longest_wait(
    whole: int, made: list[DeltaTiming], regions: list[RegionLink], before: int
) -> None:
    before = min(before, len(made))
    announced = sum(o.seconds for o in made[:before])
    for link in regions:
        latest = announced + WAIT_SECONDS_MAX + LOOK_SECONDS + whole / link.bytes_per_second
        assert arrival_seconds(whole, made, link, before) <= latest + 1e-6


@given(wholes, offers, links)
def test_it_says_the_same_each_time(whole: int, made: list[DeltaTiming], regions: list[RegionLink]) -> None:
    assert deltas_awaited(whole, made, regions) == deltas_awaited(whole, made, list(reversed(regions)))
