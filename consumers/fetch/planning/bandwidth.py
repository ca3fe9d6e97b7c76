"""What the long link is believed to carry, by transfers that a limit may have held. Pure.

A transfer held by a limit shows that the link carries the limit, not what it would carry without. So such a
transfer counts only as "at least", and no estimate is above what is allowed now.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

HELD_SHARE = 0.7
"""A transfer that reached this much of what was allowed is taken to be held by it."""
FADING = 0.7
"""What each later sample leaves of an earlier one's weight: two in a row are believed, a single one is not."""
FULL_WEIGHT_BYTES = 8 * 1024 * 1024
"""A larger transfer weighs no more, however long it took; a smaller one says more about latency."""


@dataclass(frozen=True, slots=True)
class LinkSpeeds:
    """Bytes a second, and seconds a request. What was not measured is guessed.

    Attributes:
        origin_bytes_per_second: over the long link.
        origin_request_seconds: until the first byte.
        region_bytes_per_second: from the region's own bucket.
        measured: whether the long link's speed is known.
    """

    origin_bytes_per_second: float = 25e6
    origin_request_seconds: float = 0.05
    region_bytes_per_second: float = 250e6
    measured: bool = False


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a process may take of the long link at one moment.

    Attributes:
        limit_bytes_per_second: of the whole region; None: as much as the link carries.
        share: of the limit, 0 to 1.
    """

    limit_bytes_per_second: float | None = None
    share: float = 1.0

    @property
    def bytes_per_second(self) -> float | None:
        """The process's own part; None: no limit."""
        return None if self.limit_bytes_per_second is None else self.limit_bytes_per_second * self.share


@dataclass(frozen=True, slots=True)
class Sample:
    """One transfer.

    Attributes:
        bytes_per_second: how fast it went; if it was held, what the region as a whole may be taken to have reached.
        held: a limit held it: the link carries at least this.
    """

    size_bytes: int
    bytes_per_second: float
    held: bool = False


@dataclass(frozen=True, slots=True)
class Estimate:
    """A speed, and whether it was measured."""

    bytes_per_second: float
    measured: bool


def sampled(size_bytes: int, seconds: float, allowed: Sequence[Allowance]) -> Sample:
    """What a transfer says.

    Args:
        seconds: above 0.
        allowed: what it was allowed while it ran; the tightest counts.
    """
    speed = size_bytes / seconds
    limits = [(part, each) for each in allowed if (part := each.bytes_per_second)]
    if not limits:
        return Sample(size_bytes, speed)
    tightest, allowance = min(limits, key=lambda pair: pair[0])
    if speed < HELD_SHARE * tightest:
        return Sample(size_bytes, speed)
    # The others of the region had the rest of the limit, and crossed the same link.
    whole = min(speed / allowance.share, allowance.limit_bytes_per_second or speed)
    return Sample(size_bytes, max(speed, whole), held=True)


def believed(samples: Sequence[Sample], allowed_bytes_per_second: float | None, guess: float) -> Estimate:
    """What the link will give.

    Args:
        samples: oldest first.
        allowed_bytes_per_second: what may be taken of it now; None: no limit.
        guess: where nothing is known.
    """
    allowed = float("inf") if allowed_bytes_per_second is None else allowed_bytes_per_second
    at_least = max((s.bytes_per_second for s in takewhile(lambda s: s.held, reversed(samples))), default=0.0)
    free = [sample for sample in samples if not sample.held]
    if free:
        return Estimate(min(max(typical(free), at_least), allowed), measured=True)
    if at_least and at_least >= HELD_SHARE * allowed:
        return Estimate(min(at_least, allowed), measured=True)
    return Estimate(min(max(guess, at_least), allowed), measured=False)


def typical(samples: Sequence[Sample]) -> float:
    """Their median speed, the later and the larger ones weighing more.

    A median, not a mean: by the seconds that it took, one slow transfer would outweigh all others for long.
    """
    weights = [min(s.size_bytes, FULL_WEIGHT_BYTES) * FADING**age for age, s in enumerate(reversed(samples))]
    ranked = sorted(zip((s.bytes_per_second for s in reversed(samples)), weights, strict=True))
    half, passed = sum(weights) / 2, 0.0
    for speed, weight in ranked:
        passed += weight
        if passed >= half:
            return speed
    return ranked[-1][0]
