"""A span of a model's history for the eye: what each region served when, and how long each generation took. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from modelcast.schemas.history.aspired import StoredEntry
from modelcast.schemas.history.timeline import Certainty, Recorded, regions_of_changes, served_at
from modelcast.schemas.records import ALL_OF_THEM, ModelUpdate, VersionChange
from modelcast.schemas.statuses import Status

INTERVALS_MAX = 400
"""Of one region; more can't be told apart on any screen."""
ARRIVED = frozenset({Status.OK.value, Status.HELD.value})


@dataclass(frozen=True, slots=True)
class TimelineInterval:
    """From ``from_us`` to ``to_us`` (UTC microseconds) this was served, and so well it is known.

    ``after`` is what came next where it is between two reports; ``status`` the status; ``why`` why it is not known.
    """

    from_us: int
    to_us: int
    certainty: Certainty
    version: int | None
    after: int | None
    status: str
    why: str


@dataclass(frozen=True, slots=True)
class RegionTimeline:
    """One region. ``intervals_omitted``: the oldest are left out."""

    region: str
    intervals: tuple[TimelineInterval, ...]
    intervals_omitted: int = 0


@dataclass(frozen=True, slots=True)
class GenerationTimes:
    """How long a publication took from the store's receipt to each region's first report that serves it.

    Attributes:
        regions: how many regions are recorded in the span.
        arrived: how many of them served it before the next publication came.
        p50_seconds: of those; None: none did.
        last_seconds: the slowest of those.
        slowest: that region.
    """

    generation: int
    version: int
    received_us: int
    by: str
    why: str
    regions: int
    arrived: int
    p50_seconds: float | None
    p95_seconds: float | None
    last_seconds: float | None
    slowest: str


def region_timelines(recorded: Recorded, from_us: int, to_us: int) -> tuple[RegionTimeline, ...]:
    """One timeline a region, by name."""
    return tuple(
        _timeline(_only(recorded, region), region, from_us, to_us) for region in regions_of_changes(recorded.changes)
    )


def _only(recorded: Recorded, region: str) -> Recorded:
    return replace(recorded, changes=tuple(c for c in recorded.changes if c.region in (region, ALL_OF_THEM)))


def _timeline(recorded: Recorded, region: str, from_us: int, to_us: int) -> RegionTimeline:
    times = {from_us, to_us, recorded.through_us}
    for change in recorded.changes:
        times |= {change.changed_at_us, change.confirmed_at_us}
    edges = sorted(at for at in times if from_us <= at <= to_us)
    intervals: list[TimelineInterval] = []
    for begin, end in pairwise(edges):
        found = served_at(recorded, region, (begin + end) // 2)
        interval = TimelineInterval(
            begin,
            end,
            found.certainty,
            found.change.version if found.change else None,
            found.after.version if found.after and found.certainty is Certainty.BETWEEN else None,
            found.change.status if found.change else Status.NONE.value,
            found.why,
        )
        if intervals and replace(intervals[-1], from_us=begin, to_us=end) == interval:
            intervals[-1] = replace(intervals[-1], to_us=end)
        else:
            intervals.append(interval)
    return RegionTimeline(region, tuple(intervals[-INTERVALS_MAX:]), max(0, len(intervals) - INTERVALS_MAX))


def generation_times(
    entries: Mapping[int, StoredEntry], recorded: Recorded, from_us: int, to_us: int
) -> tuple[GenerationTimes, ...]:
    """The publications that the store received in the span, newest first."""
    published = [
        (generation, stored.entry, stored.received_us)
        for generation, stored in sorted(entries.items())
        if isinstance(stored.entry, ModelUpdate)
    ]
    regions = regions_of_changes(recorded.changes)
    found = []
    for place, (generation, update, received_us) in enumerate(published):
        if not from_us <= received_us <= to_us:
            continue
        until_us = published[place + 1][2] if place + 1 < len(published) else to_us
        took = _took(recorded.changes, update.version, received_us, until_us)
        seconds = sorted(took.values())
        found.append(
            GenerationTimes(
                generation,
                update.version,
                received_us,
                update.publisher,
                " ".join(f"{name}={value}" for name, value in sorted(update.labels.items()))[:300],
                len(regions),
                len(took),
                _share(seconds, 0.5),
                _share(seconds, 0.95),
                seconds[-1] if seconds else None,
                max(took, key=lambda region: took[region], default=""),
            )
        )
    return tuple(reversed(found))


def _took(changes: Iterable[VersionChange], version: int, received_us: int, until_us: int) -> dict[str, float]:
    took: dict[str, float] = {}
    for change in changes:
        in_time = received_us <= change.changed_at_us <= until_us
        if in_time and change.version == version and change.status in ARRIVED and change.region not in took:
            took[change.region] = (change.changed_at_us - received_us) / 1_000_000
    return took


def _share(ordered: list[float], share: float) -> float | None:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None
