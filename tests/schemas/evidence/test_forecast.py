"""What is said before a rollout starts comes true."""

import numpy as np
import pytest

from modelcast.schemas.errors import UsageError
from modelcast.schemas.evidence.counts import Arm, Counts
from modelcast.schemas.evidence.forecast import Forecast, forecast, sentence
from modelcast.schemas.evidence.gates import ERRORS, LATENCY, AnalysisPlan, Gate, Measure
from modelcast.schemas.evidence.kinds import Kind
from modelcast.schemas.evidence.verdict import add_counts, empty, verdict

ERRORS_ONLY = AnalysisPlan(gates=(ERRORS,))


def seconds_until(kind: Kind, found: Forecast, ratio: float, rng: np.random.Generator, slice_seconds: float) -> float:
    """Of one simulated rollout, looked at after each slice."""
    requests = found.requests_per_second * slice_seconds
    control, candidate = round(requests * (1 - found.share)), round(requests * found.share)
    state, passed = empty(ERRORS_ONLY), 0.0
    while passed < 1000 * slice_seconds:
        errors = rng.binomial(control, found.error_rate), rng.binomial(candidate, found.error_rate * ratio)
        arms = Arm(control, int(errors[0])), Arm(candidate, int(errors[1]))
        state, passed = add_counts(state, Counts(0, "eu", *arms), ERRORS_ONLY), passed + slice_seconds
        if verdict(state, ERRORS_ONLY).kind is kind:
            return passed
    return float("inf")


@pytest.mark.parametrize(
    ("traffic", "error_rate", "share"), [(200.0, 0.005, 0.01), (1000.0, 0.005, 0.1), (50.0, 0.001, 0.5)]
)
def test_the_promised_seconds_are_the_real_ones(traffic: float, error_rate: float, share: float) -> None:
    rng = np.random.default_rng(11)
    found = forecast(traffic, error_rate, share, plan=ERRORS_ONLY)
    for kind, ratio, wait in (
        (Kind.HARMFUL, 5.0, found.harmful[0]),
        (Kind.HARMLESS, 1.0, found.harmless),
    ):
        assert wait.median_seconds is not None
        assert wait.nine_of_ten_seconds is not None
        slice_seconds = wait.median_seconds / 25
        real = [seconds_until(kind, found, ratio, rng, slice_seconds) for _ in range(60)]
        assert 0.7 <= wait.median_seconds / float(np.median(real)) <= 1.3
        assert 0.6 <= wait.nine_of_ten_seconds / float(np.quantile(real, 0.9)) <= 1.6


def test_it_is_said_as_people_say_it() -> None:
    assert sentence(forecast(200, 0.005, 0.01)) == (
        "at 200 requests/s and 0.5 % errors a 1 % step shows 5x in about 4 min, shows 2x in about 2.5 h, "
        "proves less than 2x in about 31 min"
    )


def test_more_traffic_a_larger_share_and_a_worse_candidate_are_judged_sooner() -> None:
    def five(traffic: float, share: float) -> float:
        return forecast(traffic, 0.005, share).harmful[0].median_seconds or float("inf")

    assert five(1000, 0.01) < five(200, 0.01)
    assert five(200, 0.1) < five(200, 0.01)
    worse, bad = forecast(200, 0.005, 0.01).harmful
    assert (worse.median_seconds or 0) < (bad.median_seconds or 0)


def test_a_control_without_errors_is_judged_by_the_budget() -> None:
    found = forecast(200, 0, 0.1)
    assert found.harmless.median_seconds is not None
    assert "shows" not in sentence(found)
    strict = AnalysisPlan(gates=(Gate(Measure.ERRORS, 1.5, 2.0),))
    assert forecast(200, 0, 0.1, plan=strict).harmless.median_seconds is None


def test_what_is_tolerated_is_never_shown_to_be_harmful() -> None:
    found = forecast(200, 0.005, 0.01, ratios=(1.2,))
    assert found.harmful[0].median_seconds is None
    assert "shows 1.2x not within 90 days" in sentence(found)
    within_budget = forecast(200, 0.00001, 0.1, ratios=(5.0,))
    assert within_budget.harmful[0].median_seconds is None


@pytest.mark.parametrize("rates", [(1, 0.5, 0.5), (1e9, 0.9, 0.99), (1e-3, 1e-6, 1e-4), (1e9, 1e-9, 1e-4)])
def test_extreme_rates_are_answered_at_once(rates: tuple[float, float, float]) -> None:
    assert sentence(forecast(*rates))


@pytest.mark.parametrize(
    "rates", [(0, 0.1, 0.1), (200, 1, 0.1), (200, -0.1, 0.1), (200, 0.1, 0), (200, 0.1, 1), (200, float("nan"), 0.1)]
)
def test_numbers_that_make_no_sense_are_refused(rates: tuple[float, float, float]) -> None:
    with pytest.raises(UsageError):
        forecast(*rates)


def test_a_plan_without_an_errors_gate_is_refused() -> None:
    with pytest.raises(UsageError, match="errors gate"):
        forecast(200, 0.005, 0.1, plan=AnalysisPlan(gates=(LATENCY,)))
