"""The difference of two means, with an interval that holds however often one looks.

Asymptotic confidence sequence: the normal-mixture boundary of Robbins (1970) with estimated variances, as in
Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit theory and asymptotic confidence
sequences" (Annals of Statistics, 2024). The difference of the means, times its information 1 / (s_b^2 / n_b +
s_c^2 / n_c), behaves like a Brownian motion in the time of that information (Jennison and Turnbull, "Group-sequential
analysis incorporating covariate information", 1997), whatever the shares are and even while they grow. "Asymptotic"
means: for many values, independent of each other; nothing is said before each version has ``VALUES_MIN``. The values of
a user who comes again must be summed up to one.
"""

import math
from dataclasses import dataclass

from modelcast.schemas.errors import ContentError
from modelcast.schemas.evidence.portable_math import log

VALUES_MIN = 100
MICRO = 1_000_000
OUTCOME_MAX = 1e12


@dataclass(frozen=True, slots=True)
class Moments:
    """How many values, their sum in whole millionths and the sum of the squares of these: exact in any order."""

    count: int = 0
    total: int = 0
    squares: int = 0

    @staticmethod
    def of(*values: float) -> "Moments":
        """The moments of these values, each rounded to a millionth.

        Raises:
            ContentError: a value is not finite, or its amount is above 10**12.
        """
        found = Moments()
        for value in values:
            if not -OUTCOME_MAX <= value <= OUTCOME_MAX:
                raise ContentError(f"bad outcome {value}", hint="outcomes are numbers from -10**12 to 10**12")
            micro = round(value * MICRO)
            found = found.plus(Moments(1, micro, micro * micro))
        return found

    def plus(self, other: "Moments") -> "Moments":
        """Both together."""
        return Moments(self.count + other.count, self.total + other.total, self.squares + other.squares)

    def less(self, other: "Moments") -> "Moments":
        """What came since ``other``, which is a part of it."""
        return Moments(self.count - other.count, self.total - other.total, self.squares - other.squares)

    @property
    def mean(self) -> float:
        """The mean; of none, 0."""
        return self.total / (self.count * MICRO) if self.count else 0.0

    @property
    def variance(self) -> float:
        """The variance of the sample; of fewer than two values, 0."""
        if self.count < 2:
            return 0.0
        # Whole numbers as far as they go: no digits cancel out where the mean is large and the spread small.
        spread = self.count * self.squares - self.total * self.total
        return spread / (self.count * (self.count - 1) * MICRO * MICRO)


@dataclass(frozen=True, slots=True)
class Interval:
    """The candidate's mean minus the control's: estimate and bounds."""

    estimate: float
    low: float
    high: float


def difference(
    control: Moments, candidate: Moments, *, alpha: float, planned: int, factor: float = 1.0
) -> Interval | None:
    """The interval that contains the true difference at all times at once, with probability 1 - alpha.

    Args:
        control: outcomes of the control.
        candidate: outcomes of the candidate.
        alpha: from 1e-12 to below 1.
        planned: the number of values, of both versions together, for which the interval should be narrowest.
        factor: the candidate's mean is compared with so many times the control's.

    Returns:
        None while either version has fewer than ``VALUES_MIN`` values, or all values are alike.
    """
    if min(control.count, candidate.count) < VALUES_MIN:
        return None
    noise = factor * factor * control.variance / control.count + candidate.variance / candidate.count
    if noise <= 0.0:
        return None
    # In units of one value's information: time is the number of values that a share of this kind would have needed.
    time = float(control.count + candidate.count)
    doubled = -2.0 * log(alpha)
    mixing = max(planned, 2 * VALUES_MIN) / (doubled + log(doubled + 1.0))
    width = math.sqrt((time + mixing) / time * (log((time + mixing) / mixing) + doubled)) * math.sqrt(noise)
    estimate = candidate.mean - factor * control.mean
    return Interval(estimate, estimate - width, estimate + width)
