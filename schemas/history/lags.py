"""How far behind a model was over a span of time: its worst and its median region. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from modelcast.schemas.history.aspired import StoredEntry
from modelcast.schemas.history.timeline import Recorded, regions_of_changes
from modelcast.schemas.records import ALL_OF_THEM, VersionChange
from modelcast.schemas.statuses import Status

SECOND = 1_000_000
POINTS = 180
CAUSE_SECONDS = 60
"""An entry that the store received at most so long before a region was behind is what it owes."""
BEHIND_STATUSES = frozenset({Status.LAG.value, Status.FAILED.value})
COUNTED_STATUSES = BEHIND_STATUSES | {Status.OK.value, Status.HELD.value, Status.REFUSED.value}


@dataclass(frozen=True, slots=True)
class LagPoint:
    """How far behind regions were at a time, in seconds.

    Attributes:
        at_us: the time, UTC microseconds.
        worst_seconds: of the region that was behind for longest; 0: none was; None: of none it is known.
        median_seconds: of the regions of which it is known.
        worst_region: that region, or "".
        unknown: regions that were silent, or of which nothing is recorded.
    """

    at_us: int
    worst_seconds: float | None
    median_seconds: float | None
    worst_region: str
    unknown: int


def lag_curve(
    recorded: Recorded, entries: Mapping[int, StoredEntry], from_us: int, to_us: int, points: int = POINTS
) -> tuple[LagPoint, ...]:
    """So many points of a span, up to where it is known."""
    received = sorted(stored.received_us for stored in entries.values())
    quiet = [(c.confirmed_at_us, c.changed_at_us) for c in recorded.changes if c.region == ALL_OF_THEM]
    spans = {
        region: _spans([c for c in recorded.changes if c.region == region], received)
        for region in regions_of_changes(recorded.changes)
    }
    step_us = max(1, (to_us - from_us) // points)
    until_us = min(to_us, recorded.through_us)
    return tuple(_point(spans, quiet, at_us) for at_us in range(from_us, until_us + 1, step_us))


def _spans(changes: Iterable[VersionChange], received: list[int]) -> list[tuple[int, int | None]]:
    """From when on a region was behind since when; 0: it was not; None: that is not known."""
    found: list[tuple[int, int | None]] = []
    since_us: int | None = None
    for change in changes:
        at_us = change.changed_at_us
        if change.status in BEHIND_STATUSES:
            cause_us = max((us for us in received if us <= at_us), default=0)
            fresh = cause_us if at_us - cause_us <= CAUSE_SECONDS * SECOND else at_us
            since_us = since_us or fresh
        else:
            since_us = 0 if change.status in COUNTED_STATUSES else None
        found.append((at_us, since_us))
    return found


def _point(spans: Mapping[str, list[tuple[int, int | None]]], quiet: Iterable[tuple[int, int]], at_us: int) -> LagPoint:
    lags: dict[str, float] = {}
    if not any(begun <= at_us < ended for begun, ended in quiet):
        for region, changes in spans.items():
            since_us = next((since for begun, since in reversed(changes) if begun <= at_us), None)
            if since_us is not None:
                lags[region] = max(0, at_us - since_us) / SECOND if since_us else 0.0
    if not lags:
        return LagPoint(at_us, None, None, "", len(spans))
    worst, ordered = max(lags, key=lambda region: lags[region]), sorted(lags.values())
    median = ordered[len(ordered) // 2]
    return LagPoint(at_us, lags[worst], median, worst if lags[worst] else "", len(spans) - len(lags))
