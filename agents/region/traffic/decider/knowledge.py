"""What a region knows of the traffic of one model's rollout, what it can be told, and what it can ask for."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from modelcast.agents.region.guard.judge import GuardEvidence
from modelcast.consumers.pod_clients.port import PodTraffic
from modelcast.schemas.region_memory import Cut
from modelcast.schemas.traffic.grant import TrafficGrant
from modelcast.schemas.traffic.reports import PodCounts, TrafficReading
from modelcast.schemas.traffic.table import Authority, TrafficTable

NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class Instant:
    """Now. ``seconds`` only rises and is this process's own; ``wall_us`` is UTC and may be wrong."""

    seconds: float
    wall_us: int


@dataclass(frozen=True, slots=True)
class TrafficPace:
    """How often pods and store are asked. Seconds.

    Attributes:
        poll: between two readings of a pod while a candidate meets traffic.
        early: the same while it has answered less than ``early_answers``: what fails altogether is out sooner.
        early_answers: of all pods together.
        idle: the same while it meets none.
        table: between two looks at the origin's table that nobody asked for.
        look: between two looks at it, however often it is asked for.
        repeat: between two reports of what has not changed.
        retry_first: after a failure; doubled each time, up to ``retry_max``.
        retry_max: see there.
        proof: for which a proof of ownership counts; without one, no pod is given more than nothing.
    """

    poll: float = 1.0
    early: float = 0.25
    early_answers: int = 200
    idle: float = 5.0
    table: float = 5.0
    look: float = 0.1
    repeat: float = 5.0
    retry_first: float = 0.25
    retry_max: float = 5.0
    proof: float = 5.0


@dataclass(frozen=True, slots=True)
class PodShares:
    """What is known of one pod's traffic, and what it was asked."""

    # Its last reading; None: it was not read yet, or did not answer when it was asked last.
    reading: PodTraffic | None = None
    asked_at: float = NEVER
    asking: bool = False
    # The table that it was given and has not answered.
    giving: TrafficTable | None = None
    # The reading under way began before the table was taken: it proves nothing about it.
    overtaken: bool = False
    # Tables that it did not take in a row, when it may be tried again, and why, for people.
    failures: int = 0
    retry_at: float = NEVER
    error: str = ""
    # What was sent of it last, and when.
    sent: PodCounts | None = None
    sent_at: float = NEVER


@dataclass(frozen=True, slots=True)
class RegionTraffic:
    """One model's rollout as its owner in one region sees it."""

    registry_id: str
    model: str
    region: str
    # Of the worker that owns the model here.
    worker: str
    epoch: int
    pace: TrafficPace = field(default_factory=TrafficPace)

    # What the log allows, as far as it was read; None: nothing. How far that is.
    grant: TrafficGrant | None = None
    head: int = 0
    # The newest table that the log bears out; its authority never falls while one rollout lasts.
    table: TrafficTable | None = None
    # What of it the log allows here, or allowed last; None: nothing was allowed since.
    allowed: TrafficTable | None = None
    # A newer one, made when the log was longer than it was read here. What the origin holds later takes its place, also
    # one of a lower authority: the log that it was made of may have been given up.
    ahead: TrafficTable | None = None
    # A look at the origin's table is under way, or asked for; when the last one began.
    looking: bool = False
    look_again: bool = True
    looked_at: float = NEVER
    # The origin has answered such a look since this worker looks after the model.
    seen: bool = False
    # For which table that was ahead the log was last asked for.
    log_asked_for: Authority | None = None
    # When the controller was last heard of, by a table, an entry or a word on Kafka.
    heard_at: float = NEVER
    # Tables up to this authority send nothing to a candidate: they were in force while the controller was silent.
    lowered: Authority | None = None

    # Why the candidate was cut off here; it ends by a newer entry alone. ``saved_cut``: what the state object has.
    cut: Cut | None = None
    saved_cut: Cut | None = None
    saving_cut: bool = False
    save_cut_at: float = NEVER
    # None: no candidate meets traffic.
    guard: GuardEvidence | None = None

    pods: Mapping[str, PodShares] = field(default_factory=dict)
    fleets_unknown: int = 0
    # What keeps the candidate from being loaded, for people.
    candidate_error: str = ""
    # Ownership was certain then; a question about it is under way; before when none is asked.
    proved_at: float = NEVER
    proving: bool = False
    prove_at: float = NEVER

    # What was reported last, and when.
    said: TrafficReading | None = None
    said_at: float = NEVER
    sequence: int = 0


# --- events -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GrantRead:
    """The log was read up to ``head``; ``grant`` is what it allows here.

    ``epoch``: under which the model is owned.
    """

    grant: TrafficGrant | None
    epoch: int
    head: int


@dataclass(frozen=True, slots=True)
class TableSeen:
    """The origin's table; None: there is none, or it can't be read as one."""

    table: TrafficTable | None


@dataclass(frozen=True, slots=True)
class TableUnseen:
    """The origin did not answer."""


@dataclass(frozen=True, slots=True)
class ControllerHeard:
    """The controller has said something on Kafka: a table may be there to be read."""


@dataclass(frozen=True, slots=True)
class PodsListed:
    """The region's pods now. ``replaced``: names that another pod has taken."""

    names: tuple[str, ...]
    replaced: frozenset[str] = frozenset()
    fleets_unknown: int = 0


@dataclass(frozen=True, slots=True)
class PodCounted:
    """A pod was read."""

    pod: str
    reading: PodTraffic


@dataclass(frozen=True, slots=True)
class PodSilent:
    """A pod did not answer to a reading."""

    pod: str
    message: str


@dataclass(frozen=True, slots=True)
class TableTaken:
    """A pod reports that it divides by this table; it counts once that was read back."""

    pod: str
    table: TrafficTable


@dataclass(frozen=True, slots=True)
class TableNotTaken:
    """A pod did not take this table; ``code`` "": it did not answer."""

    pod: str
    table: TrafficTable
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class CutSaved:
    """The state object holds this cut; None: it holds none."""

    cut: Cut | None


@dataclass(frozen=True, slots=True)
class CutUnsaved:
    """It is not known whether the state object holds it."""


@dataclass(frozen=True, slots=True)
class CandidateTrouble:
    """What keeps the candidate from being loaded, for people; "": nothing."""

    error: str


@dataclass(frozen=True, slots=True)
class OwnerProved:
    """This worker owned the model at ``at``; NEVER: that is not known."""

    at: float


@dataclass(frozen=True, slots=True)
class TimePassed:
    """Time passed."""


TrafficEvent = (
    GrantRead | TableSeen | TableUnseen | ControllerHeard | PodsListed | PodCounted | PodSilent | TableTaken
    | TableNotTaken | CutSaved | CutUnsaved | CandidateTrouble | OwnerProved | TimePassed
)  # fmt: skip

# --- effects ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LookAtTable:
    """Read the origin's table; answers ``TableSeen`` or ``TableUnseen``."""


@dataclass(frozen=True, slots=True)
class GiveTable:
    """Have a pod divide by a table; answers ``TableTaken`` or ``TableNotTaken``."""

    pod: str
    table: TrafficTable


@dataclass(frozen=True, slots=True)
class ReadCounts:
    """Read a pod's counts and table; answers ``PodCounted`` or ``PodSilent``."""

    pod: str


@dataclass(frozen=True, slots=True)
class SaveCut:
    """Write the cut, or that there is none; answers ``CutSaved`` or ``CutUnsaved``."""

    cut: Cut | None


@dataclass(frozen=True, slots=True)
class SendCounts:
    """Tell the controller what a pod counted."""

    counts: PodCounts


@dataclass(frozen=True, slots=True)
class SendReading:
    """Tell the controller what was read back."""

    reading: TrafficReading


@dataclass(frozen=True, slots=True)
class ReadLog:
    """A table was made by a longer log than is known here: read on."""


@dataclass(frozen=True, slots=True)
class ProveOwner:
    """Read the state object: another worker may have cut the candidate off; answers ``OwnerProved``."""


TrafficEffect = LookAtTable | GiveTable | ReadCounts | SaveCut | SendCounts | SendReading | ReadLog | ProveOwner
