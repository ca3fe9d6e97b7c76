"""Thompson sampling by batches: each version gets requests as often as it may be the best one, and never below a floor.

Instead of a draw a request, the chance that a version's mean is the best is computed once a batch from all outcomes
that have come by then, and is its share of the next one. Rewards that come late only come into a later batch. Older
batches count less and less, so that a version that becomes worse loses its requests again. Thompson, "On the
likelihood that one unknown probability exceeds another" (1933); in batches: Chapelle and Li, "An empirical evaluation
of Thompson sampling" (2011); discounted: Raj and Kalyani, "Taming non-stationary bandits" (2017).

Means are taken as normal. All of it is computed with ``portable_math``: the same batches give the same shares on every
machine.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from modelcast.schemas.evidence.counts import SHARES
from modelcast.schemas.evidence.means import MICRO, Moments
from modelcast.schemas.evidence.portable_math import exp

REMEMBERED = 0.96
"""What an outcome counts one batch later: what was 25 batches ago counts a third."""
BATCHES_MAX = 5_000
"""After so many the share stays as it is."""
_GRID = tuple(step / 10 for step in range(-50, 51))
_DENSITY = tuple(exp(-z * z / 2.0) for z in _GRID)


@dataclass(frozen=True, slots=True)
class BanditBatch:
    """What came in one batch.

    Attributes:
        control: outcomes of the control.
        candidate: outcomes of the candidate.
        proved: whether the plan's other gates have shown that the candidate is harmless, by the end of it.
    """

    control: Moments = field(default_factory=Moments)
    candidate: Moments = field(default_factory=Moments)
    proved: bool = False


@dataclass(frozen=True, slots=True)
class Discounted:
    """Outcomes of one version, older ones counting less: how many, their sum, the sum of their squares."""

    count: float = 0.0
    total: float = 0.0
    squares: float = 0.0

    def after(self, more: Moments) -> "Discounted":
        """With those of one more batch."""
        return Discounted(
            REMEMBERED * self.count + more.count,
            REMEMBERED * self.total + more.total / MICRO,
            REMEMBERED * self.squares + more.squares / (MICRO * MICRO),
        )


def candidate_share(batches: Iterable[BanditBatch], floor: int, *, higher_is_better: bool) -> int:
    """The last of ``candidate_shares``; the floor where there was no batch."""
    control, candidate, proved = Discounted(), Discounted(), False
    for batch in batches:
        control, candidate, proved = _weighed(control, candidate, batch, proved=proved)
    return _share(control, candidate, floor, proved=proved, higher_is_better=higher_is_better)


def candidate_shares(batches: Iterable[BanditBatch], floor: int, *, higher_is_better: bool) -> Iterator[int]:
    """The candidate's share after each batch, in ten-thousandths.

    It stays at the floor until the candidate has been proved harmless once; harm ends the rollout, and is no matter of
    shares.

    Args:
        batches: from the first one on.
        floor: that neither version's share is below.
        higher_is_better: of the outcome.
    """
    control, candidate, proved = Discounted(), Discounted(), False
    for batch in batches:
        control, candidate, proved = _weighed(control, candidate, batch, proved=proved)
        yield _share(control, candidate, floor, proved=proved, higher_is_better=higher_is_better)


def _weighed(
    control: Discounted, candidate: Discounted, batch: BanditBatch, *, proved: bool
) -> tuple[Discounted, Discounted, bool]:
    return control.after(batch.control), candidate.after(batch.candidate), proved or batch.proved


def _share(control: Discounted, candidate: Discounted, floor: int, *, proved: bool, higher_is_better: bool) -> int:
    return thompson_shares((candidate, control), floor, higher_is_better=higher_is_better)[0] if proved else floor


def thompson_shares(versions: Sequence[Discounted], floor: int, *, higher_is_better: bool = True) -> tuple[int, ...]:
    """The share of each version, in ten-thousandths; together all requests.

    Args:
        versions: what came of each so far.
        floor: of each share; at most an equal part.
    """
    free = SHARES - floor * len(versions)
    chances = best_chances(versions, higher_is_better=higher_is_better)
    shares = [floor + math.floor(free * chance) for chance in chances]
    best = max(range(len(shares)), key=shares.__getitem__)
    shares[best] += SHARES - sum(shares)
    return tuple(shares)


def best_chances(versions: Sequence[Discounted], *, higher_is_better: bool = True) -> tuple[float, ...]:
    """How likely each version's mean is the best, by what came so far; of what is not known, all alike."""
    count = sum(each.count for each in versions)
    alike = (1.0 / len(versions),) * len(versions)
    if not count:
        return alike
    mean = sum(each.total for each in versions) / count
    variance = sum(each.squares for each in versions) / count - mean * mean
    if variance <= 0.0:
        return alike
    sign = 1.0 if higher_is_better else -1.0
    # As if each had given one outcome of the mean of all before: one without outcomes is as likely as any.
    means = [sign * (each.total + mean) / (each.count + 1.0) for each in versions]
    spreads = [math.sqrt(variance / (each.count + 1.0)) for each in versions]
    found = [_best(number, means, spreads) for number in range(len(versions))]
    total = sum(found)
    return tuple(each / total for each in found)


def _best(number: int, means: list[float], spreads: list[float]) -> float:
    """The chance that this normal is the largest of all, by a sum over its values; not normed."""
    others = [other for other in range(len(means)) if other != number]
    total = 0.0
    for z, density in zip(_GRID, _DENSITY, strict=True):
        value = means[number] + z * spreads[number]
        for other in others:
            density *= _below((value - means[other]) / spreads[other])  # noqa: PLW2901 - the product over the others
        total += density
    return total


def _below(z: float) -> float:
    """The normal distribution function, to 8e-8 (Abramowitz and Stegun, 26.2.17)."""
    t = 1.0 / (1.0 + 0.2316419 * abs(z))
    series = t * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
    above = 0.3989422804014327 * exp(-z * z / 2.0) * series
    return 1.0 - above if z >= 0 else above
