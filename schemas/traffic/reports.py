"""What pods count and regions read back while a rollout runs, and how it stands: the records on Kafka.

Counts are cumulative since the pod's process started, so that a report that is lost or comes twice does no harm; what
happened between two of them is said by ``differences``.
"""

from bisect import bisect_left
from dataclasses import dataclass

LATENCY_BOUNDS_US: tuple[int, ...] = tuple(round(50 * 2 ** (n / 4)) for n in range(81))
"""Upper bounds of the latency buckets, microseconds, 19 % apart: 50 µs to 52 s; what takes longer is in a last one."""
LATENCY_BUCKETS = len(LATENCY_BOUNDS_US) + 1


def latency_bucket(microseconds: float) -> int:
    """The index of the bucket that a latency belongs to."""
    return bisect_left(LATENCY_BOUNDS_US, microseconds)


@dataclass(frozen=True, slots=True)
class VersionCounts:
    """What one pod counted of one version since its process started. A request is counted when it has ended."""

    version: int  # the version
    manifest_digest: str  # digest of what answered
    ready: bool = False  # whether the pod has it loaded and would answer with it
    requests: int = 0  # all that ended, but those that were refused or rejected
    failed: int = 0  # of these, answered with an error of the server
    timed_out: int = 0  # of these, not answered in time
    refused: int = 0  # turned away before the version saw them: too many at once
    rejected: int = 0  # wrong in themselves, the caller's fault
    slow: int = 0  # slower than the first threshold of the table
    slow_harmful: int = 0  # slower than the second threshold of the table
    slow_harmless: int = 0  # slower than the third threshold of the table
    bad_answers: int = 0  # answers that hold NaN or infinity
    shadow_agree: int = 0  # copies answered as the control answered
    shadow_differ: int = 0  # copies answered otherwise, or not
    latency: tuple[int, ...] = ()  # answers by latency bucket; buckets at the end that are empty are left out
    looked: int = 0  # answers whose outputs were looked at, copies among them
    empty: int = 0  # of these, answers whose outputs hold nothing
    repeated: int = 0  # of these, answers that are just like the one before, to another request
    scores: tuple[int, ...] = ()  # of these, by the bin of their score; bins at the end that are empty are left out

    @property
    def errors(self) -> int:
        """What the errors gate counts."""
        return self.failed + self.timed_out


@dataclass(frozen=True, slots=True)
class PodCounts:
    """What one pod counted of one model, and the table that it has in force."""

    registry_id: str  # the registry that this belongs to; another id stops the reader
    model: str  # model name
    region: str  # region name
    pod: str  # pod name
    incarnation: str  # of the pod's process
    started_at_us: int  # when that process started, pod's clock, UTC microseconds; orders incarnations
    sequence: int  # rises with every count of this incarnation
    counted_at_us: int  # when it was counted, region's clock, UTC microseconds
    table_generation: int = 0  # of the table in force; 0: none is
    table_epoch: int = 0  # of the table in force
    table_sequence: int = 0  # of the table in force
    versions: tuple[VersionCounts, ...] = ()  # every version that the pod has loaded or had


@dataclass(frozen=True, slots=True)
class TrafficReading:
    """What a region read back from its pods about a model's rollout."""

    registry_id: str  # the registry that this belongs to; another id stops the reader
    model: str  # model name
    region: str  # region name
    worker: str  # which worker of the region reports
    epoch: int  # owner epoch of that worker
    sequence: int  # rises with every report of that epoch
    rollout: str  # id of the rollout that the region knows of; empty: none
    generation: int  # of the newest entry about it that the region knows
    reported_at_us: int  # region's clock, UTC microseconds
    pods_expected: int = 0  # pods of the region
    control_ready: int = 0  # pods that were read back with the control loaded
    candidate_ready: int = 0  # pods that were read back with the candidate loaded
    pods_in_force: int = 0  # pods that were read back with the table below in force
    table_generation: int = 0  # of the newest table that the region gave to its pods
    table_epoch: int = 0  # of the newest table that the region gave to its pods
    table_sequence: int = 0  # of the newest table that the region gave to its pods
    share: int = 0  # of the candidate in that table here, in ten-thousandths
    cut: str = ""  # why the region has cut the candidate off by itself, for people; empty: it has not
    cut_rollout: str = ""  # the rollout that the cut is about
    error: str = ""  # what keeps the region from doing its part, for people

    @property
    def authority(self) -> tuple[int, int, int]:
        """Of the newest table that the region gave to its pods."""
        return self.table_generation, self.table_epoch, self.table_sequence

    def all_in_force(self, authority: tuple[int, int, int]) -> bool:
        """Whether every pod was read back with this table, or a newer one."""
        return self.authority >= authority and self.pods_in_force >= self.pods_expected

    @property
    def control_is_servable(self) -> bool:
        """Whether every pod could answer everything with the control at once."""
        return 0 < self.pods_expected <= self.control_ready

    @property
    def candidate_is_servable(self) -> bool:
        """Whether every pod has the candidate loaded."""
        return 0 < self.pods_expected <= self.candidate_ready


@dataclass(frozen=True, slots=True)
class RolloutGate:
    """How one gate stands."""

    measure: str  # what it compares: errors, latency
    kind: str  # what it has shown: harmful, harmless, undecided
    log_e_harmful: float  # logarithm of the e-value against "within the tolerated ratio"
    log_e_harmless: float  # logarithm of the e-value against "beyond the ratio that must be excluded"
    needed_harmful: float  # what log_e_harmful must reach
    needed_harmless: float  # what log_e_harmless must reach
    control_events: int  # errors or slow answers of the control
    candidate_events: int  # errors or slow answers of the candidate


@dataclass(frozen=True, slots=True)
class RolloutOutcome:
    """How the outcomes of one name stand."""

    name: str  # of the outcome
    kind: str  # what it has shown: harmful, harmless, undecided; empty: it is no gate
    control_count: int  # outcomes of the control
    candidate_count: int  # outcomes of the candidate
    control_mean: float  # their mean
    candidate_mean: float  # their mean
    low: float | None = None  # the candidate's mean minus the control's is at least this; null: not known yet
    high: float | None = None  # it is at most this


@dataclass(frozen=True, slots=True)
class RolloutRegion:
    """How a rollout stands in one region."""

    region: str  # region name
    wave: int  # number of its wave, from 0; -1: standby
    ceiling: int  # what the log grants, in ten-thousandths
    share: int  # what every pod there was read back with, in ten-thousandths
    read_back: bool  # whether every pod there was read back with the newest table
    pods_expected: int = 0  # pods there
    candidate_ready: int = 0  # pods there that have the candidate loaded
    control_requests: int = 0  # answered by the control since the rollout began
    candidate_requests: int = 0  # answered by the candidate since the rollout began
    heard_at_us: int = 0  # when it was last heard of, controller's clock, UTC microseconds; 0: never
    cut: str = ""  # why it has cut the candidate off by itself; empty: it has not


@dataclass(frozen=True, slots=True)
class RolloutState:
    """How a model's newest rollout stands, as its controller knows it."""

    registry_id: str  # the registry that this belongs to; another id stops the reader
    model: str  # model name
    rollout: str  # id of the rollout
    generation: int  # of the newest entry about it
    phase: str  # RUNNING, HELD, PROMOTED, ABORTED, SUPERSEDED
    strategy: str  # of its plan
    candidate: int  # the version that is tried
    control: int | None  # the version that serves; null: regions differ
    updated_at_us: int  # controller's clock, UTC microseconds
    epoch: int = 0  # of the controller
    wave: int = 0  # number of the wave under way, from 0
    waves: int = 0  # how many there are
    step: int = 0  # number of the step under way, from 0; -1: none was taken
    steps: int = 0  # how many there are
    share: int = 0  # wished for in the wave under way, in ten-thousandths
    verdict: str = ""  # harmful, harmless or undecided
    gates: tuple[RolloutGate, ...] = ()  # each by itself
    regions: tuple[RolloutRegion, ...] = ()  # those that take part
    control_requests: int = 0  # in the evidence
    candidate_requests: int = 0  # in the evidence
    blind: bool = False  # whether evidence is missing
    why: str = ""  # why it stands where it does, for people
    next: str = ""  # what comes next and when, for people
    if_stopped: str = ""  # what would happen if the controller stopped now, for people
    evidence: str = ""  # digest of the newest evidence that was saved
    outcomes: tuple[RolloutOutcome, ...] = ()  # what users did, and late labels, by name
    outcomes_left_out: str = ""  # outcomes that belong to neither version, and why, for people
