"""E-values held against exact enumeration: their expectation under the null hypothesis is at most 1."""

import math
from itertools import product

import pytest

from modelcast.schemas.evidence.counts import SHARES
from modelcast.schemas.evidence.portable_math import UNITS_PER_NAT
from modelcast.schemas.evidence.ratio import (
    BETTER,
    WORSE,
    rate_units,
    ratio_terms,
    sample_ratio_size,
    sample_ratio_terms,
)


def binomial(n: int, k: int, p: float) -> float:
    return math.comb(n, k) * p**k * (1 - p) ** (n - k)


def expectations(null: float, factors: tuple[float, ...], n: tuple[int, int], p: tuple[float, float]) -> list[float]:
    """Of each alternative's e-value after one second."""
    totals = [0.0] * len(factors)
    for x in product(range(n[0] + 1), range(n[1] + 1)):
        weight = binomial(n[0], x[0], p[0]) * binomial(n[1], x[1], p[1])
        terms = ratio_terms(null, factors, n, x) or (0,) * len(factors)
        for i, term in enumerate(terms):
            totals[i] += weight * math.exp(term / UNITS_PER_NAT)
    return totals


@pytest.mark.parametrize("n", [(1, 1), (7, 2), (3, 9), (12, 12)])
@pytest.mark.parametrize("p", [0.001, 0.1, 0.4, 0.66])
def test_the_tolerated_ratio_gives_no_evidence_of_harm_on_average_however_common_errors_are(
    n: tuple[int, int], p: float
) -> None:
    for ratio in (0.0, 0.5, 1.0, 1.5):
        assert max(expectations(1.5, WORSE, n, (p, p * ratio))) <= 1 + 1e-9


@pytest.mark.parametrize("n", [(1, 1), (7, 2), (3, 9), (12, 12)])
@pytest.mark.parametrize("p", [0.001, 0.1, 0.3, 0.49])
def test_the_excluded_ratio_gives_no_evidence_of_harmlessness_on_average(n: tuple[int, int], p: float) -> None:
    for ratio in (2.0, 1 / p):
        assert max(expectations(2.0, BETTER, n, (p, min(p * ratio, 1.0)))) <= 1 + 1e-9


def test_the_enumeration_can_fail() -> None:
    assert max(expectations(1.5, WORSE, (7, 2), (0.1, 0.3))) > 1.02
    assert max(expectations(2.0, BETTER, (7, 2), (0.1, 0.1))) > 1.02


@pytest.mark.parametrize(("null", "factors", "truth"), [(0.01, WORSE, 0.01), (0.01, WORSE, 0.002), (0.2, BETTER, 0.2)])
def test_a_rate_within_the_null_hypothesis_gives_no_evidence_on_average(
    null: float, factors: tuple[float, ...], truth: float
) -> None:
    for i in range(len(factors)):
        found = sum(
            binomial(20, x, truth) * math.exp(rate_units(null, factors, 20, x)[i] / UNITS_PER_NAT) for x in range(21)
        )
        assert found <= 1 + 1e-9


def test_a_second_without_errors_or_with_one_version_only_says_nothing_of_the_ratio() -> None:
    assert ratio_terms(1.5, WORSE, (100, 10), (0, 0)) is None
    assert ratio_terms(1.5, WORSE, (0, 10), (0, 10)) is None
    assert ratio_terms(1.5, WORSE, (100, 0), (3, 0)) is None


@pytest.mark.parametrize("arms", [2, 3])
def test_requests_that_fall_by_their_shares_give_no_evidence_of_a_mismatch_on_average(arms: int) -> None:
    shares = (7000, 3000) if arms == 2 else (6000, 3000, 1000)
    totals = [0.0] * sample_ratio_size(arms)
    n = 8
    for x in product(range(n + 1), repeat=arms):
        if sum(x) != n:
            continue
        weight = float(math.factorial(n))
        for count, share in zip(x, shares, strict=True):
            weight *= (share / SHARES) ** count / math.factorial(count)
        terms = sample_ratio_terms(x, shares, 1.0)
        assert terms is not None
        for i, term in enumerate(terms):
            totals[i] += weight * math.exp(term / UNITS_PER_NAT)
    assert max(totals) <= 1 + 1e-9
    assert min(totals) > 1 - 1e-6  # a point hypothesis: the bet is fair


def test_nothing_is_expected_of_a_version_that_gets_everything() -> None:
    terms = sample_ratio_terms((0, 50), (0, SHARES), 1.1)
    assert terms is not None
    assert set(terms) == {0}
    assert sample_ratio_terms((0, 0), (5000, 5000), 1.1) is None
