"""What the API answers about the past, as records. Times are UTC microseconds."""

from dataclasses import dataclass

from modelcast.dashboard.dashboard import Freshness
from modelcast.dashboard.view.entries import EntryLine
from modelcast.infra.history import PairAt
from modelcast.schemas.history.difference import VersionDifference
from modelcast.schemas.history.generation import GenerationRecord
from modelcast.schemas.history.lags import LagPoint
from modelcast.schemas.history.region_timelines import GenerationTimes, RegionTimeline


@dataclass(frozen=True, slots=True)
class HistoryAnswer:
    """What each region served of a model in a span, how long publications took, and what was written into its log.

    ``through_us``: all changes up to then are archived.
    """

    fresh: Freshness
    model: str
    from_us: int
    to_us: int
    through_us: int
    timelines: tuple[RegionTimeline, ...]
    generations: tuple[GenerationTimes, ...]
    entries: tuple[EntryLine, ...]


@dataclass(frozen=True, slots=True)
class AtAnswer:
    """What regions served of a model at a time, how well that is known, and what they should have served."""

    fresh: Freshness
    model: str
    at_us: int
    regions: tuple[PairAt, ...]


@dataclass(frozen=True, slots=True)
class GenerationAnswer:
    """One generation: its entry in the log, and how it went. ``record``: null until it is over, or none was kept."""

    fresh: Freshness
    model: str
    generation: int
    entry: EntryLine
    record: GenerationRecord | None


@dataclass(frozen=True, slots=True)
class DiffAnswer:
    """What differs between two versions of a model."""

    fresh: Freshness
    difference: VersionDifference


@dataclass(frozen=True, slots=True)
class LagsAnswer:
    """How far behind a model's regions were in a span, up to where it is known, and what was written into its log."""

    fresh: Freshness
    model: str
    from_us: int
    to_us: int
    points: tuple[LagPoint, ...]
    entries: tuple[EntryLine, ...]
