"""What the sources bring, and how they are: values between the threads that read and the loop that shows."""

from dataclasses import dataclass
from enum import StrEnum

from modelcast.dashboard.view.candidates import SeenRollout
from modelcast.dashboard.view.dead_letters import SeenLetter
from modelcast.dashboard.view.overview import Worker
from modelcast.dashboard.view.probe import SeenProbe
from modelcast.schemas.log.chain import StatedEntry
from modelcast.schemas.records import VersionState
from modelcast.schemas.unchanged import StatesUnchanged


class Reach(StrEnum):
    """How a source is."""

    STARTING = "starting"
    CATCHING_UP = "catching up"
    LIVE = "live"
    AWAY = "away"


@dataclass(frozen=True, slots=True)
class SeenState:
    """A model's state (None: it is gone).

    Attributes:
        model: its name.
        state: as it is, also where it was renewed since it was said.
        appended_us: when the tracker wrote it, by this machine's clock.
        said_us: when it was said, tracker's clock; 0: as ``state`` says.
    """

    model: str
    state: VersionState | None
    appended_us: int
    said_us: int = 0


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
        unchanged: what trackers told of states that have not changed, with when they wrote it, as ``appended_us``.
        rollouts: what controllers told of rollouts, in that order.
        letters: dead letters that came.
        replayed: offsets of dead letters that were sent back.
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
    unchanged: tuple[tuple[StatesUnchanged, int], ...] = ()
    rollouts: tuple[SeenRollout, ...] = ()
    letters: tuple[SeenLetter, ...] = ()
    replayed: tuple[int, ...] = ()
