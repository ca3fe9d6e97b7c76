"""What the sources bring, and how they are: values between the threads that read and the loop that shows."""

from dataclasses import dataclass
from enum import StrEnum

from modelcast.dashboard.view.overview import Worker
from modelcast.dashboard.view.probe import SeenProbe
from modelcast.schemas.log.chain import StatedEntry
from modelcast.schemas.records import VersionState


class Reach(StrEnum):
    """How a source is."""

    STARTING = "starting"
    CATCHING_UP = "catching up"
    LIVE = "live"
    AWAY = "away"


@dataclass(frozen=True, slots=True)
class SeenState:
    """A model's state (None: it is gone). ``appended_us``: when the tracker wrote it, by this machine's clock."""

    model: str
    state: VersionState | None
    appended_us: int


@dataclass(frozen=True, slots=True)
class NewsBatch:
    """What one look brought.

    Attributes:
        source: ``kafka`` or ``redis``.
        reach: how the source is now.
        states: models that changed.
        entries: log entries that were announced, with when Kafka received them (UTC microseconds).
        workers: heartbeats by region; None: not looked at.
        missing: what could not be read, for people.
        tracker_seconds: seconds since any tracker told that it lives; None: not known.
        complete: the names of all models, once all of the topic was read anew: others are gone; else None.
        probes: what trackers told of probes.
    """

    source: str
    reach: Reach
    states: tuple[SeenState, ...] = ()
    entries: tuple[tuple[StatedEntry, int], ...] = ()
    workers: dict[str, tuple[Worker, ...]] | None = None
    missing: tuple[str, ...] = ()
    tracker_seconds: float | None = None
    complete: frozenset[str] | None = None
    probes: tuple[SeenProbe, ...] = ()
