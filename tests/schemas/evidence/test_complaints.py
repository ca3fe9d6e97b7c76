"""Data that other judges got wrong, as their users reported it: what Kayenta's test says, and what ours does.

The minute series are errors of 1,000 requests a minute and version.
"""

import numpy as np
import pytest

from modelcast.schemas.evidence.counts import Arm, Counts
from modelcast.schemas.evidence.gates import ERRORS, LATENCY, AnalysisPlan
from modelcast.schemas.evidence.kinds import Kind
from modelcast.schemas.evidence.verdict import fold_counts, verdict
from tests.bench.gating.rules import mann_whitney_high

SPINNAKER_6278 = ([100.0] * 7 + [1.0] * 3, [1.0] * 10)
KAYENTA_426 = ([0.0, 1.0, 2.0, 1.0, 0.0, 0.0], [0.0] * 6)
KAYENTA_799 = ([1.0, 4.0, 2.0, 3.0, 1.0], [0.0] * 5)
KAYENTA_780 = (
    [10.0, 10.1, 10.2, 10.3, 10.4, 10.5, 10.6, 17.0, 17.1, 17.2, 17.3, 17.4, 17.5, 17.6, 17.7],
    [1.0, 100.0, 4.0, 101.0, 5.0, 102.0, 6.0, 103.0, 7.0, 104.0, 8.0, 105.0, 9.0, 106.0, 17.0],
)
Series = tuple[list[float], list[float]]


def kayenta_says_high(series: Series) -> bool:
    experiment, control = (np.array([values]) for values in series)
    return bool(mann_whitney_high(control, experiment)[0])


def we_say(series: Series, *, times: int = 1) -> Kind:
    plan = AnalysisPlan(gates=(ERRORS,))
    counts = [
        Counts(minute, "all", Arm(1000, int(control)), Arm(1000, int(candidate)))
        for minute, (candidate, control) in enumerate(zip(*series, strict=True))
    ]
    return verdict(fold_counts(counts * times, plan), plan).kind


def test_a_hundred_errors_against_one_in_seven_of_ten_minutes() -> None:
    """spinnaker#6278: passed, until the eighth value was high as well, whatever the values were."""
    assert not kayenta_says_high(SPINNAKER_6278)
    assert kayenta_says_high(([100.0] * 8 + [1.0] * 2, [1.0] * 10))
    assert we_say(SPINNAKER_6278) is Kind.HARMFUL


def test_few_errors_against_none() -> None:
    """kayenta#426: passed. Four errors against none prove nothing yet, nor are they passed; if it goes on they do."""
    assert not kayenta_says_high(KAYENTA_426)
    assert we_say(KAYENTA_426) is Kind.UNDECIDED
    assert we_say(KAYENTA_426, times=4) is Kind.HARMFUL


def test_a_control_without_any_errors() -> None:
    """kayenta#799: no data of the control, so nothing was compared."""
    assert we_say(KAYENTA_799) is not Kind.HARMLESS
    assert we_say(KAYENTA_799, times=2) is Kind.HARMFUL


def test_another_shape_without_slower_answers_is_no_harm() -> None:
    """kayenta#780, case 1: its users want such a change of shape to fail. The candidate's slowest answer is faster than
    half of the control's, and a gate of one side does not fail it; nor do fifteen answers prove anything good."""
    assert not kayenta_says_high(KAYENTA_780)
    experiment, control = KAYENTA_780
    threshold = float(np.quantile(control, 0.99))
    arms = [
        Arm(15, 0, *(sum(value > threshold * limit for value in values) for limit in (1.0, 1.2, 1.5)))
        for values in (control, experiment)
    ]
    plan = AnalysisPlan(gates=(LATENCY,))
    assert verdict(fold_counts([Counts(0, "all", *arms)], plan), plan).kind is Kind.UNDECIDED


@pytest.mark.parametrize("share", [0.01, 0.5])
def test_no_traffic_is_never_a_failed_check(share: float) -> None:
    """flagger#1035, argo-rollouts#1905."""
    plan = AnalysisPlan()
    silent = [Counts(at, "all", Arm(), Arm(), round(share * 10_000)) for at in range(600)]
    assert verdict(fold_counts(silent, plan), plan).kind is Kind.UNDECIDED
