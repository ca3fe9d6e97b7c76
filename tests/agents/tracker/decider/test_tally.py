"""Pods counted: each in one group, the least generation remembered, names bounded."""

from hypothesis import given, settings
from hypothesis import strategies as st

from modelcast.agents.tracker.decider.tally import SAMPLES_MAX, merge, tally
from modelcast.schemas.states import PodState
from tests.agents.tracker.makers import pod
from tests.agents.tracker.strategies import reports


@given(reports(5), reports(5))
def test_two_tallies_merge_to_the_tally_of_both(one: list, other: list) -> None:  # type: ignore[type-arg]
    def plain(groups: object) -> set[object]:
        return {(g.state, g.version, g.manifest_digest, g.count, g.generation_min, g.samples) for g in groups}  # type: ignore[attr-defined]

    assert plain(merge([tally(one), tally(other)])) == plain(tally([*one, *other]))


@settings(deadline=None)
@given(st.integers(1, 3 * SAMPLES_MAX))
def test_names_are_bounded_and_counts_are_not(count: int) -> None:
    (group,) = tally(pod(f"p{n}", 1, 7 + n) for n in range(count))
    assert (group.count, group.generation_min) == (count, 7)
    assert len(group.samples) == min(count, SAMPLES_MAX)


def test_an_unreachable_pod_confirms_nothing() -> None:
    (group,) = tally([pod("a", 1, 1, PodState.UNREACHABLE)])
    assert not group.confirmed
