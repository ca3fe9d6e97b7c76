"""Logarithm and exponential: right to the last bits, and the same last bit everywhere."""

import math
import random

import pytest

from modelcast.schemas.evidence.portable_math import UNITS_PER_NAT, exp, log, log_mean_exp, units_of


def test_the_logarithm_is_within_three_units_in_the_last_place() -> None:
    chance = random.Random(1)
    for _ in range(20_000):
        x = math.exp(chance.uniform(-50, 50))
        assert abs(log(x) - math.log(x)) <= 3 * math.ulp(math.log(x))
    for _ in range(20_000):
        x = chance.uniform(0.9, 1.1)
        assert abs(log(x) - math.log(x)) <= 3 * math.ulp(math.log(x))


def test_the_exponential_is_within_three_units_in_the_last_place() -> None:
    chance = random.Random(2)
    for _ in range(20_000):
        x = -chance.uniform(0, 600)
        assert abs(exp(x) - math.exp(x)) <= 3 * math.ulp(math.exp(x))
    assert exp(-1e9) == 0.0


@pytest.mark.parametrize(
    ("x", "bits"),
    [(2.0, "0x1.62e42fefa39efp-1"), (0.005, "-0x1.5317a1b949c53p+2"), (1.0001, "0x1.a368d0657fcd4p-14")],
)
def test_the_last_bit_is_kept_for_ever(x: float, bits: str) -> None:
    """Kept evidence is judged again years later: a change here changes old verdicts."""
    assert log(x).hex() == bits


def test_exactly_one_and_nothing() -> None:
    assert log(1.0) == 0.0
    assert exp(0.0) == 1.0
    assert log_mean_exp([0] * 12) == 0.0


def test_rounding_never_adds_evidence() -> None:
    assert units_of(0.3 / UNITS_PER_NAT) == 0
    assert units_of(-0.3 / UNITS_PER_NAT) == -1


def test_a_mean_of_huge_e_values_does_not_overflow() -> None:
    assert log_mean_exp([units_of(5000.0), units_of(-5000.0)]) == pytest.approx(5000 - math.log(2))
