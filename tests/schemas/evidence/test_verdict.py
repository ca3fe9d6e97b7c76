"""What a verdict says, and what it never says."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelcast.schemas.errors import ContentError, UsageError
from modelcast.schemas.evidence.counts import REQUESTS_MAX, Arm, Counts
from modelcast.schemas.evidence.gates import ERRORS, LATENCY, AnalysisPlan, Gate, Measure
from modelcast.schemas.evidence.kinds import Kind
from modelcast.schemas.evidence.verdict import Verdict, add_counts, empty, fold_counts, verdict

PLAN = AnalysisPlan()
ERRORS_ONLY = AnalysisPlan(gates=(ERRORS,))


def judged(*counts: Counts, plan: AnalysisPlan = PLAN) -> Verdict:
    return verdict(fold_counts(counts, plan), plan)


def second(control: tuple[int, int], candidate: tuple[int, int], *, at: int = 0, share: int | None = None) -> Counts:
    """(requests, errors) of either."""
    return Counts(at, "eu", Arm(*control), Arm(*candidate), share)


arms = st.integers(0, 10**6).flatmap(
    lambda n: st.builds(Arm, st.just(n), *[st.integers(0, n) | st.integers(0, min(n, 3)) for _ in range(4)])
)
counts = st.builds(
    Counts, st.integers(0, 5), st.sampled_from(["eu", "us"]), arms, arms, st.none() | st.integers(0, 10_000)
)


def test_without_traffic_nothing_is_decided_and_every_e_value_is_exactly_one() -> None:
    found = judged(second((0, 0), (0, 0)))
    assert found == verdict(empty(PLAN), PLAN)
    assert found.kind is Kind.UNDECIDED
    assert [(g.log_e_harmful, g.log_e_harmless) for g in found.gates] == [(0.0, 0.0)] * 2
    assert found.log_e_sample_ratio == 0.0


def test_one_version_alone_is_undecided() -> None:
    assert judged(second((100_000, 90_000), (0, 0))).kind is Kind.UNDECIDED
    lone = judged(second((0, 0), (100_000, 10)))
    assert lone.kind is Kind.UNDECIDED
    assert all(gate.log_e_harmful <= 0 for gate in lone.gates)


def test_a_candidate_that_always_fails_is_harmful_after_at_most_three_of_its_answers() -> None:
    state = empty(PLAN)
    for at in range(3):
        state = add_counts(state, second((99, at % 2), (1, 1), at=at, share=100), PLAN)
    found = verdict(state, PLAN)
    assert (found.kind, found.measure) == (Kind.HARMFUL, Measure.ERRORS)


def test_a_control_without_errors_can_be_compared_with() -> None:
    bad = judged(*(second((1000, 0), (1000, 20), at=at) for at in range(3)))
    assert (bad.kind, bad.measure) == (Kind.HARMFUL, Measure.ERRORS)
    good = judged(*(second((1000, 0), (1000, 0), at=at) for at in range(100)), plan=ERRORS_ONLY)
    assert good.kind is Kind.HARMLESS


def test_errors_within_the_budget_are_no_harm_even_if_the_control_has_none() -> None:
    calm = [second((10_000, 0), (10_000, 1 if at % 5 == 0 else 0), at=at) for at in range(150)]  # 0.002 %
    assert judged(*calm, plan=ERRORS_ONLY).kind is Kind.HARMLESS
    strict = AnalysisPlan(gates=(Gate(Measure.ERRORS, 1.5, 2.0),))
    assert judged(*calm, plan=strict).kind is Kind.HARMFUL


def test_a_burst_that_hits_both_alike_says_nothing_bad() -> None:
    assert judged(*(second((900, 450), (100, 50), at=at) for at in range(50))).gates[0].kind is Kind.HARMLESS


def test_slower_answers_are_harmful_and_equally_slow_ones_harmless() -> None:
    plan = AnalysisPlan(gates=(LATENCY,))
    slower = Counts(0, "eu", Arm(5000, 0, 50, 20, 5), Arm(5000, 0, 200, 150, 60))
    same = Counts(0, "eu", Arm(5000, 0, 50, 20, 5), Arm(5000, 0, 50, 20, 5))
    assert judged(slower, plan=plan).kind is Kind.HARMFUL
    assert judged(same, plan=plan).kind is Kind.HARMLESS


def test_harm_in_one_gate_outweighs_harmlessness_in_the_other() -> None:
    found = judged(Counts(0, "eu", Arm(50_000, 250, 500, 200, 50), Arm(50_000, 2500, 500, 200, 50)))
    assert [g.kind for g in found.gates] == [Kind.HARMFUL, Kind.HARMLESS]
    assert (found.kind, found.measure) == (Kind.HARMFUL, Measure.ERRORS)


def test_a_single_gate_does_not_promote() -> None:
    found = judged(*(second((1000, 5), (1000, 5), at=at) for at in range(100)))
    assert [g.kind for g in found.gates] == [Kind.HARMLESS, Kind.UNDECIDED]
    assert (found.kind, found.measure) == (Kind.UNDECIDED, Measure.LATENCY)


def test_nothing_is_harmless_while_requests_do_not_fall_by_the_shares() -> None:
    skewed = judged(*(second((1000, 5), (1000, 5), at=at, share=3000) for at in range(100)), plan=ERRORS_ONLY)
    assert skewed.gates[0].kind is Kind.HARMLESS
    assert (skewed.kind, skewed.sample_ratio_holds) == (Kind.UNDECIDED, False)
    fitting = judged(*(second((1000, 5), (1000, 5), at=at, share=5000) for at in range(100)), plan=ERRORS_ONLY)
    assert (fitting.kind, fitting.sample_ratio_holds) == (Kind.HARMLESS, True)


def test_gates_share_the_probability_of_a_false_alarm() -> None:
    needed = judged(plan=PLAN).gates[0].needed_harmful
    assert needed == pytest.approx(math.log(2 / PLAN.alpha_harmful))
    assert judged(plan=ERRORS_ONLY).gates[0].needed_harmful == pytest.approx(needed - math.log(2))


def test_regions_with_different_shares_are_not_mixed_up() -> None:
    """Simpson's paradox: pooled, the candidate errs eight times as often; in each region it is the control's twin."""
    quiet = Counts(0, "eu", Arm(90_000, 90), Arm(1_000, 1))
    stormy = Counts(0, "us", Arm(10_000, 1_000), Arm(9_000, 900))
    assert judged(quiet, stormy, plan=ERRORS_ONLY).kind is Kind.HARMLESS
    pooled = Counts(0, "all", Arm(100_000, 1_090), Arm(10_000, 901))
    assert judged(pooled, plan=ERRORS_ONLY).kind is Kind.HARMFUL


@settings(max_examples=30, deadline=None)
@given(st.lists(counts, max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_counts_changes_no_bit(rows: list[Counts], chance: random.Random) -> None:
    shuffled = list(rows)
    chance.shuffle(shuffled)
    assert fold_counts(shuffled, PLAN) == fold_counts(rows, PLAN)


@settings(max_examples=30, deadline=None)
@given(st.lists(counts, max_size=8))
def test_e_values_are_always_finite(rows: list[Counts]) -> None:
    found = judged(*rows, *rows)  # counted twice: wrong, but no reason to crash
    for gate in found.gates:
        assert math.isfinite(gate.log_e_harmful)
        assert math.isfinite(gate.log_e_harmless)
    assert math.isfinite(found.log_e_sample_ratio)


@settings(max_examples=50, deadline=None)
@given(counts)
def test_one_more_error_of_the_candidate_never_speaks_for_it(row: Counts) -> None:
    candidate = row.candidate
    if candidate.errors == candidate.requests:
        return
    worse = Counts(row.second, row.stratum, row.control, Arm(candidate.requests, candidate.errors + 1), row.share)
    before, after = (judged(each, plan=ERRORS_ONLY).gates[0] for each in (row, worse))
    assert after.log_e_harmful >= before.log_e_harmful
    assert after.log_e_harmless <= before.log_e_harmless


def test_the_largest_counts_are_folded() -> None:
    huge = Arm(REQUESTS_MAX, REQUESTS_MAX, 1, 1, 1)
    found = judged(*(Counts(at, "eu", Arm(REQUESTS_MAX, 1), huge, 5000) for at in range(9)))
    assert found.kind is Kind.HARMFUL
    assert math.isfinite(found.gates[0].log_e_harmful)


@pytest.mark.parametrize("bad", [(-1, 0), (1, 2), (1.5, 0), (True, 0)])
def test_impossible_counts_are_refused(bad: tuple[int, int]) -> None:
    with pytest.raises(ContentError):
        Arm(*bad)


@pytest.mark.parametrize(("at", "share"), [(-1, None), (0, 10_001), (0, -1)])
def test_impossible_seconds_and_shares_are_refused(at: int, share: int | None) -> None:
    with pytest.raises(ContentError):
        second((1, 0), (1, 0), at=at, share=share)
    with pytest.raises(ContentError):
        second((REQUESTS_MAX + 1, 0), (1, 0))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Gate(Measure.ERRORS, 0.9, 2.0),
        lambda: Gate(Measure.ERRORS, 2.5, 2.0),
        lambda: Gate(Measure.ERRORS, 1.0, 1.0),
        lambda: Gate(Measure.ERRORS, 1.5, float("nan")),
        lambda: Gate(Measure.ERRORS, 1.5, 2.0, acceptable_rate=0.9),
        lambda: Gate(Measure.LATENCY, 1.2, 1.5, acceptable_rate=0.1),
        lambda: AnalysisPlan(gates=()),
        lambda: AnalysisPlan(gates=(ERRORS, ERRORS)),
        lambda: AnalysisPlan(alpha_harmful=0),
        lambda: AnalysisPlan(sample_ratio_tolerance=0.5),
    ],
)
def test_plans_that_make_no_sense_are_refused(make: object) -> None:
    with pytest.raises(UsageError):
        make()  # type: ignore[operator]
