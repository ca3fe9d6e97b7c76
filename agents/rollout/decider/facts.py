"""What the controller knows of one model's rollout, what it can be told, and what it can ask for."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from modelcast.agents.rollout.decider.gathering import Gathered
from modelcast.agents.rollout.decider.progress import RolloutProgress
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.records import CommandKind, CommandTarget
from modelcast.schemas.traffic.outcomes import ObservedOutcome
from modelcast.schemas.traffic.reports import PodCounts, RolloutState, TrafficReading
from modelcast.schemas.traffic.table import TrafficTable


@dataclass(frozen=True, slots=True)
class Moment:
    """Now. ``seconds`` only rises and is this process's own; ``wall_us`` is UTC and may be wrong."""

    seconds: float
    wall_us: int


@dataclass(frozen=True, slots=True)
class HeardReading:
    """A region's newest reading, and the moment (seconds) that it speaks of."""

    reading: TrafficReading
    true_at: float


@dataclass(frozen=True, slots=True)
class ControllerState:
    """What the controller knows of one model.

    Attributes:
        model: its name.
        expected: regions of the settings; others take part once they were heard of.
        log: the fold, as far as it was read; None: not yet.
        epoch: of this controller's tables; 0: it does not know the table in force yet, and decides nothing.
        table: the newest table, put by this controller or found; None: there is none.
        asking: the store is being asked for the table in force, or given another; nothing more is until that is over.
        claiming: an entry is being claimed; no other one is until that is over.
        readings: the newest of each region.
        clocks_behind_us: by how much each region's clock is behind Kafka's, by its quickest record of late.
        counts: the newest report of each pod, by (region, pod).
        gathered: the evidence of the rollout ``rollout``; None: it has none.
        rollout: id of the rollout that the fields from ``gathered`` on speak of.
        in_force: the entry about the rollout (its generation) whose shares every pod was read back with; 0: none yet.
        in_force_since: since when, seconds.
        met_before: requests that the candidate had answered by then.
        batch_since: since when a bandit's batch lasts, seconds.
        progress: what the controller before had seen, to go on with; None: nothing, or used up.
        saved_at: when the progress was saved last.
        retry_at: when to try again what failed.
        published: what was said last of how it stands.
        published_at: when.
    """

    model: str
    expected: tuple[str, ...] = ()
    log: ModelLog | None = None
    epoch: int = 0
    table: TrafficTable | None = None
    asking: bool = False
    claiming: bool = False
    readings: Mapping[str, HeardReading] = field(default_factory=dict)
    clocks_behind_us: Mapping[str, int] = field(default_factory=dict)
    counts: Mapping[tuple[str, str], PodCounts] = field(default_factory=dict)
    gathered: Gathered | None = None
    rollout: str = ""
    in_force: int = 0
    in_force_since: float = 0.0
    met_before: int = 0
    batch_since: float = 0.0
    progress: RolloutProgress | None = None
    saved_at: float = 0.0
    retry_at: float = 0.0
    published: RolloutState | None = None
    published_at: float = float("-inf")

    @property
    def step_in_force(self) -> bool:
        """Whether every pod was read back with the shares of the newest entry about the rollout."""
        rollout = self.log.rollout if self.log is not None else None
        return rollout is not None and self.in_force == rollout.entry_generation


# --- events -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TookOver:
    """The store was asked for the table in force (None: there is none) and for what was seen before."""

    table: TrafficTable | None
    progress: RolloutProgress | None = None


@dataclass(frozen=True, slots=True)
class LogFolded:
    """The log was read."""

    log: ModelLog


@dataclass(frozen=True, slots=True)
class ReadingHeard:
    """A region's reading came, ``age_seconds`` after it was sent.

    ``behind_us``: by how much the region's clock looks behind Kafka's: the record's way is in it. None: not known.
    """

    reading: TrafficReading
    age_seconds: float = 0.0
    behind_us: int | None = None


@dataclass(frozen=True, slots=True)
class CountsHeard:
    """A pod's report came."""

    counts: PodCounts


@dataclass(frozen=True, slots=True)
class OutcomeHeard:
    """What came of an answer."""

    outcome: ObservedOutcome


@dataclass(frozen=True, slots=True)
class TablePut:
    """The table stands in the store."""

    table: TrafficTable


@dataclass(frozen=True, slots=True)
class TableRefused:
    """Another controller has put a table: this one has to take over again before it may decide anything."""


@dataclass(frozen=True, slots=True)
class Failed:
    """What was asked for could not be done; whether it was is not known."""


@dataclass(frozen=True, slots=True)
class ClaimEnded:
    """The claim is over, for better or worse; ``log`` is as it is now."""

    log: ModelLog


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time has passed."""


Event = (
    TookOver
    | LogFolded
    | ReadingHeard
    | CountsHeard
    | OutcomeHeard
    | TablePut
    | TableRefused
    | Failed
    | ClaimEnded
    | Ticked
)

# --- effects ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TakeOver:
    """Ask the store for the table in force and the progress of this rollout. Answered by ``TookOver`` or ``Failed``."""

    rollout: str


@dataclass(frozen=True, slots=True)
class PutTable:
    """Put a table in place of the one that was read or put last. Answered by TablePut, TableRefused or Failed."""

    table: TrafficTable


@dataclass(frozen=True, slots=True)
class ClaimEntry:
    """Write an entry about the rollout, if the table is still this controller's. Answered by ClaimEnded or Failed.

    Attributes:
        kind: of the entry.
        rollout: id.
        generation: of the log's newest entry about it that was decided on: with a newer one, nothing is written.
        targets: regions with version or share.
        reason: for people.
        evidence: what it was decided on, to be saved first.
        verdict: what was found in it, to be saved beside it.
        not_before_us: when its shares are to be in force; 0: at once.
    """

    kind: CommandKind
    rollout: str
    generation: int
    targets: tuple[CommandTarget, ...]
    reason: str
    evidence: bytes
    verdict: bytes
    not_before_us: int = 0

    @property
    def lowers_only(self) -> bool:
        """Whether it can only take traffic away from the candidate: whoever has seen harm may say so."""
        return self.kind in {CommandKind.ROLLOUT_ABORT, CommandKind.ROLLOUT_HOLD}


@dataclass(frozen=True, slots=True)
class SaveProgress:
    """Save what was seen for whoever takes over; not answered."""

    rollout: str
    body: bytes


@dataclass(frozen=True, slots=True)
class PublishState:
    """Say how it stands."""

    state: RolloutState


Effect = TakeOver | PutTable | ClaimEntry | SaveProgress | PublishState
