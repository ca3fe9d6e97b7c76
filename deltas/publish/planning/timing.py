"""Before the announcement or after it: which deltas to wait for, so that the slowest region has it soonest. Pure.

A delta that is in the store when the announcement comes is used at once. For one that is only announced a region waits
for a while (as ``deltas.fetch`` does: for half of what it saves, and never for long); then it fetches the whole file.
Regions whose link was never measured do not count: they are not worth holding the others back for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

WAIT_SECONDS_MAX = 30.0
"""What a region waits at most for a delta that is announced, and never longer than ``WAIT_SHARE`` of what it saves."""
WAIT_SHARE = 0.5
LOOK_SECONDS = 0.5
"""Until a waiting region notices that a delta has come; it looks the seldomer, the longer it waits."""
GAIN_MIN = 1.1
"""How much sooner the slowest region must have it, for others to be kept waiting."""


@dataclass(frozen=True, slots=True)
class DeltaTiming:
    """All deltas from one version (0: compressed wholes): what a region would bring, and the time until they are up."""

    base_version: int
    size_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class RegionLink:
    """One region: what it holds, and how fast the origin reaches it (0: never measured)."""

    region: str
    bytes_per_second: float
    held: frozenset[int] = frozenset()


def deltas_awaited(whole_bytes: int, offers: Sequence[DeltaTiming], links: Sequence[RegionLink]) -> int:
    """How many of ``offers``, from the first, are to be up before the announcement; 0: announce at once.

    Args:
        whole_bytes: what a region brings that uses none of them.
        offers: in the order in which they are made.
        links: the regions.
    """
    counting = [link for link in links if link.bytes_per_second > 0]
    if not counting:
        return 0
    slowest = [slowest_seconds(whole_bytes, offers, counting, k) for k in range(len(offers) + 1)]
    best = min(range(len(slowest)), key=lambda k: (slowest[k], k))
    if slowest[best] * GAIN_MIN <= slowest[0]:
        return best
    unmeasured = len(counting) < len(links)
    kept_waiting = unmeasured or any(
        arrival_seconds(whole_bytes, offers, link, best) > arrival_seconds(whole_bytes, offers, link, 0)
        for link in counting
    )
    return 0 if kept_waiting else best


def slowest_seconds(whole_bytes: int, offers: Sequence[DeltaTiming], links: Sequence[RegionLink], before: int) -> float:
    """When the last region has it, if the first ``before`` offers are up when it is announced."""
    return max((arrival_seconds(whole_bytes, offers, link, before) for link in links), default=0.0)


def arrival_seconds(whole_bytes: int, offers: Sequence[DeltaTiming], link: RegionLink, before: int) -> float:
    """When one region has it, counted from the moment at which the first offer is begun."""
    announced = sum(offer.seconds for offer in offers[:before])
    speed = link.bytes_per_second
    usable = [o.base_version == 0 or o.base_version in link.held for o in offers]
    there = min([whole_bytes, *(o.size_bytes for o, use in zip(offers[:before], usable, strict=False) if use)]) / speed
    best = announced + there
    ready = announced
    for offer, use in zip(offers[before:], usable[before:], strict=True):
        ready += offer.seconds
        brings = offer.size_bytes / speed
        if use and brings + LOOK_SECONDS < there:
            patience = min(WAIT_SECONDS_MAX, WAIT_SHARE * (there - brings))
            in_time = ready <= announced + patience
            return ready + LOOK_SECONDS + brings if in_time else announced + patience + there
    return best
