"""The interval around a difference of means: it may be looked at as often as one likes."""

import math
import random

import numpy as np
import pytest

from modelcast.schemas.errors import ContentError
from modelcast.schemas.evidence.means import MICRO, VALUES_MIN, Moments, difference

ALPHA = 0.05


def moments(values: np.ndarray) -> list[Moments]:
    """After each block of values: (blocks, size) becomes running moments."""
    micro = np.rint(values * MICRO).astype(np.int64)
    totals, squares = micro.sum(axis=1).cumsum(), (micro.astype(object) ** 2).sum(axis=1).cumsum()
    return [
        Moments(values.shape[1] * (i + 1), int(total), int(square))
        for i, (total, square) in enumerate(zip(totals, squares, strict=True))
    ]


def peeked(rng: np.random.Generator, effect: float, looks: int = 150) -> tuple[bool, bool, bool]:
    """Outcomes of 20 and 5 users a second, skewed: (interval always right, showed an effect, naive test did)."""
    control = moments(rng.lognormal(0, 1, (looks, 20)))
    candidate = moments(rng.lognormal(0, 1, (looks, 5)) + effect)
    right, shown, naive = True, False, False
    for b, c in zip(control, candidate, strict=True):
        found = difference(b, c, alpha=ALPHA, planned=2500)
        if found is None:
            continue
        right &= found.low <= effect <= found.high
        shown |= not found.low <= 0 <= found.high
        deviation = math.sqrt(b.variance / b.count + c.variance / c.count)
        naive |= abs(found.estimate) > 1.96 * deviation
    return right, shown, naive


def test_the_interval_holds_at_every_look_where_a_peeked_t_test_does_not() -> None:
    rng = np.random.default_rng(3)
    runs = [peeked(rng, 0.0) for _ in range(200)]
    assert sum(right for right, _, _ in runs) >= 0.95 * len(runs)
    assert sum(naive for _, _, naive in runs) >= 0.2 * len(runs)


def test_an_effect_of_the_stated_size_is_shown_four_times_out_of_five() -> None:
    """Deviation of a value 2.16; 3,000 and 750 users: 4.2 standard errors are an effect of 0.37."""
    rng = np.random.default_rng(4)
    runs = [peeked(rng, 0.37) for _ in range(100)]
    assert sum(shown for _, shown, _ in runs) >= 0.8 * len(runs)
    assert sum(right for right, _, _ in runs) >= 0.95 * len(runs)


def test_little_or_constant_data_gives_no_interval() -> None:
    few = Moments.of(*([0.0, 1.0] * (VALUES_MIN // 2 - 1)))
    many = Moments.of(*([0.0, 1.0] * VALUES_MIN))
    flat = Moments.of(*([1.0] * VALUES_MIN))
    assert difference(few, many, alpha=ALPHA, planned=1000) is None
    assert difference(many, few, alpha=ALPHA, planned=1000) is None
    assert difference(flat, flat, alpha=ALPHA, planned=1000) is None
    assert difference(flat, many, alpha=ALPHA, planned=1000) is not None
    assert (Moments().mean, Moments().variance) == (0.0, 0.0)


def test_order_changes_no_bit_and_large_means_cost_no_digits() -> None:
    chance = random.Random(5)
    values = [1e9 + chance.random() for _ in range(500)]
    found = Moments.of(*values)
    chance.shuffle(values)
    assert Moments.of(*values) == found
    rounded = [round(v * MICRO) / MICRO - 1e9 for v in values]
    assert found.variance == pytest.approx(float(np.var(rounded, ddof=1)), rel=1e-6)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1e13])
def test_outcomes_that_are_no_numbers_are_refused(bad: float) -> None:
    with pytest.raises(ContentError):
        Moments.of(bad)
