"""What is believed of a link is bounded by what is allowed, and evidence only of what was seen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcast.consumers.fetch.planning.bandwidth import Allowance, Sample, believed, sampled, typical

MIB = 1024 * 1024
speeds = st.floats(1, 1e11)
samples = st.lists(st.builds(Sample, st.integers(MIB, 10**12), speeds, st.booleans()), max_size=8)


@given(samples, speeds)
def test_no_belief_is_above_what_is_allowed(seen: list[Sample], allowed: float) -> None:
    assert 0 < believed(seen, allowed, 25e6).bytes_per_second <= allowed


@given(samples)
def test_without_a_limit_a_link_is_measured_once_a_transfer_went_without(seen: list[Sample]) -> None:
    belief = believed(seen, None, 25e6)
    free = [s.bytes_per_second for s in seen if not s.held]
    assert belief.measured == bool(free)
    assert belief.bytes_per_second >= min(free, default=25e6)


@given(samples.filter(bool))
def test_the_typical_speed_is_one_that_was_seen(seen: list[Sample]) -> None:
    assert typical(seen) in {s.bytes_per_second for s in seen}


def test_small_transfers_outweigh_a_large_one_after_a_while_only() -> None:
    large, small = Sample(500 * MIB, 1e6), Sample(2 * MIB, 20e6)
    assert typical([large, small]) == 1e6
    assert typical([large, *[small] * 4]) == 20e6


def test_what_was_reached_under_a_limit_later_raises_what_was_seen_before() -> None:
    assert believed([Sample(MIB, 2e6), Sample(MIB, 9e6, held=True)], None, 25e6).bytes_per_second == 9e6
    assert believed([Sample(MIB, 9e6, held=True), Sample(MIB, 2e6)], None, 25e6).bytes_per_second == 2e6


def test_a_higher_limit_than_was_met_is_not_known_to_be_reached() -> None:
    belief = believed([Sample(MIB, 1e6, held=True)], 10e6, 25e6)
    assert (belief.bytes_per_second, belief.measured) == (10e6, False)


@pytest.mark.parametrize(
    ("allowed", "sample"),
    [
        ([], Sample(MIB, MIB)),
        ([Allowance()], Sample(MIB, MIB)),
        ([Allowance(2 * MIB)], Sample(MIB, MIB)),
        ([Allowance(1.2 * MIB)], Sample(MIB, MIB, held=True)),
        ([Allowance(9 * MIB), Allowance(MIB)], Sample(MIB, MIB, held=True)),
        ([Allowance(2 * MIB, 0.5)], Sample(MIB, 2 * MIB, held=True)),
        ([Allowance(MIB, 0.5)], Sample(MIB, MIB, held=True)),
        ([Allowance(2 * MIB, 0.0)], Sample(MIB, MIB)),
    ],
)
def test_a_transfer_is_held_by_the_tightest_limit_that_it_came_near(allowed: list[Allowance], sample: Sample) -> None:
    assert sampled(MIB, 1.0, allowed) == sample
