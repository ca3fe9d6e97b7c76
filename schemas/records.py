"""The records that travel on Kafka and lie in the registry log, as frozen values.

Each has an Avro schema of the same name and version under ``avro/``. Times are UTC microseconds since the epoch
(``…_us``), sizes bytes (``…_bytes``), durations seconds (``…_seconds``). A digest reads ``sha256:<hex>``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from modelcast.schemas.states import PodState, State


class Activation(StrEnum):
    """When a published version is to be served."""

    IMMEDIATE = "IMMEDIATE"
    STAGED = "STAGED"  # fetch now, serve when a command says so


class CommandKind(StrEnum):
    """What an operator can ask of a model; ``verbs.py`` says what each means."""

    ACTIVATE = "ACTIVATE"
    ROLLBACK = "ROLLBACK"
    PIN = "PIN"
    UNPIN = "UNPIN"
    PAUSE = "PAUSE"
    RESUME = "RESUME"
    RELOAD = "RELOAD"
    QUARANTINE = "QUARANTINE"
    RELEASE = "RELEASE"
    ALIAS = "ALIAS"
    ACCEPT = "ACCEPT"
    ROLLOUT_START = "ROLLOUT_START"
    ROLLOUT_STEP = "ROLLOUT_STEP"
    ROLLOUT_HOLD = "ROLLOUT_HOLD"
    ROLLOUT_RESUME = "ROLLOUT_RESUME"
    ROLLOUT_PROMOTE = "ROLLOUT_PROMOTE"
    ROLLOUT_ABORT = "ROLLOUT_ABORT"


ALL_REGIONS = ""
"""As a target's region: every region, also those still to come."""


@dataclass(frozen=True, slots=True)
class ArtifactRef:
    """Where an artifact is and what it is. Never a URL: ``store`` is resolved from the reader's own settings."""

    store: str
    manifest_key: str
    manifest_digest: str
    size_bytes: int
    file_count: int
    framework: str


@dataclass(frozen=True, slots=True)
class DeltaHint:
    """A delta that the publisher makes or made; a hint, never trusted. Base 0: a compressed whole."""

    base_version: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ModelUpdate:
    """A version is published."""

    registry_id: str
    event_id: str
    model: str
    version: int
    generation: int
    artifact: ArtifactRef
    published_at_us: int
    placement: tuple[str, ...] = ()  # regions allowed; empty means all
    activation: Activation = Activation.IMMEDIATE
    publisher: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    delta_hints: tuple[DeltaHint, ...] = ()


@dataclass(frozen=True, slots=True)
class CommandTarget:
    """One region (or ``ALL_REGIONS``) and, where the kind needs one, the version meant for it, or its share."""

    region: str = ALL_REGIONS
    version: int | None = None
    share: int | None = None  # of the requests, in ten-thousandths; of ROLLOUT_STEP


@dataclass(frozen=True, slots=True)
class LogPosition:
    """A place in one model's log: ``generation``, and the running digest of the log up to it (``log/chain.py``)."""

    generation: int
    digest: str


@dataclass(frozen=True, slots=True)
class ModelCommand:
    """An operator's command about a model; it names its targets explicitly.

    What each kind takes and does stands in ``verbs.py``.
    """

    registry_id: str
    event_id: str
    model: str
    generation: int
    kind: CommandKind
    targets: tuple[CommandTarget, ...]
    requested_at_us: int
    requested_by: str
    reason: str = ""
    alias: str = ""
    replaces: tuple[LogPosition, ...] = ()  # for ACCEPT: what regions had accepted and the log does not hold
    rollout: str = ""  # for ROLLOUT_…: which one; the generation of its start
    plan: str = ""  # for ROLLOUT_START: JSON, see ``traffic/steps_and_gates.py``
    evidence: str = ""  # for ROLLOUT_…: digest of what it was decided on, below ``rollouts/<model>/<rollout>/``
    not_before_us: int = 0  # for ROLLOUT_STEP: when all regions are to take its shares at once; 0: as soon as they can


Entry = ModelUpdate | ModelCommand
"""What a registry log holds and ``model-updates`` announces."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What lies in a registry log at ``log_generation``: an entry's bytes, and where in the log they stand.

    ``said`` is a single-object record, as it was encoded by its writer. Nothing in it is believed before
    ``said_digest``, ``schema_digest`` and ``log_digest`` were found true.
    """

    schema_digest: str  # SHA-256 of the canonical schema that ``said`` was written with: a CRC-64 can be forged
    log_generation: int
    log_digest: str  # the running digest of all entries below
    said_digest: str  # SHA-256 of ``said``
    said: bytes


@dataclass(frozen=True, slots=True)
class PodReport:
    """What one pod serves of one model, by its last read-back."""

    pod: str
    state: PodState
    version: int | None = None
    manifest_digest: str = ""
    generation: int = 0
    incarnation: str = ""
    read_at_us: int = 0
    error: str = ""
    kind: str = ""  # what serves there, as it says itself: "modelcast", "triton"; "": not known
    fleet: str = ""  # where its region knows it from: "settings", "registration", "kubernetes shop/fraud"
    zone: str = ""  # where it stands


@dataclass(frozen=True, slots=True)
class StageSpan:
    """When a stage of a generation ran, in milliseconds from when the region accepted the generation."""

    stage: str
    begun_ms: int  # less than 0: ahead of the generation
    ended_ms: int | None = None  # None: it is under way
    busy_ms: int = 0  # of work in it, which may overlap


@dataclass(frozen=True, slots=True)
class ModelAck:
    """Page ``page`` (from 0) of ``pages`` of a full snapshot of one model in one region.

    (``epoch``, ``sequence``) orders the snapshots of a region; the highest complete one replaces that region's
    pods. ``generation``, ``version`` and ``state`` speak of what the region aspires to; ``staged_*`` of what is
    verified on its disks; the pods of what is served.
    """

    registry_id: str
    model: str
    region: str
    worker: str
    epoch: int
    sequence: int
    page: int
    pages: int
    generation: int
    version: int | None
    manifest_digest: str
    state: State
    reported_at_us: int
    staged_generation: int = 0
    staged_version: int | None = None
    refused_version: int | None = None  # newer, and refused here: damaged or quarantined
    pods: tuple[PodReport, ...] = ()
    pods_expected: int = 0
    bytes_moved: int = 0  # over the long link, for this generation
    bytes_saved: int = 0  # against moving the whole artifact
    bytes_total: int = 0  # of the artifact
    bytes_planned: int = 0  # what the plan under way brings over the long link
    bytes_per_second: float = 0.0  # over the long link, now or at last
    way: str = ""  # how, for people: "delta from 3"
    spans_since_us: int = 0  # when the region accepted the generation, its clock; 0: not known
    spans: tuple[StageSpan, ...] = ()
    attempts: int = 0
    error: str = ""
    log_digest: str = ""  # the running digest of the log up to ``generation``, as this region accepted it
    alarm: str = ""  # what keeps the region from obeying the log, for people
    rollover: str = ""  # why pods wait for their orders, for people


@dataclass(frozen=True, slots=True)
class RegionHeartbeat:
    """A worker of a region is alive."""

    registry_id: str
    region: str
    worker: str
    sequence: int
    started_at_us: int
    sent_at_us: int
    models_owned: int = 0
    disk_free_bytes: int = 0
    cache_used_bytes: int = 0
    origin_bytes_per_second: float = 0.0  # as measured, within the limit; 0: not known
    draining: bool = False
    software: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RegionState:
    """One region's row of a ``VersionState``."""

    region: str
    state: State | None  # None: never reported
    aspired_version: int | None
    aspired_generation: int
    aspired_digest: str
    staged_version: int | None
    staged_generation: int
    served_version: int | None  # what all its pods serve; None if they differ, none is there, or it can't be known now
    served_generation: int  # the lowest among its pods
    pods_serving: int  # pods that serve the aspired version; 0 while it can't be known
    pods_expected: int
    behind_since_us: int  # store's clock; 0: it serves what it should
    silent: bool
    left_out: str = ""  # "", "pinned", "placement": why it does not count for the consistent version
    refused_version: int | None = None  # newer, and refused there: damaged or quarantined
    reported_at_us: int = 0
    heard_at_us: int = 0
    bytes_moved: int = 0
    bytes_saved: int = 0
    bytes_total: int = 0
    bytes_planned: int = 0
    bytes_per_second: float = 0.0
    way: str = ""
    spans_since_us: int = 0  # when the region accepted the generation, its clock; 0: not known
    spans: tuple[StageSpan, ...] = ()
    error: str = ""
    pods: tuple[PodReport, ...] = ()  # those that fit; ``pods_omitted`` tells how many do not
    pods_omitted: int = 0
    pinned_version: int | None = None  # by an operator, as the log has it
    paused: bool = False
    error_generation: int = 0  # what ``error`` is about; older than aspired: the region has not got further; 0: none
    reported_version: int | None = None  # what all its pods served when they were last heard of
    unread: bool = False  # its pods were not read back for too long
    rollover: str = ""  # why pods there wait for their orders, for people
    read_at_us: int = 0  # when the pod that was read back longest ago was, tracker's clock; 0: none was
    moved_at_us: int = 0  # when bytes or state last moved, tracker's clock; 0: not known
    owner_epoch: int = 0  # of the worker that reported last; 0: none did

    @property
    def serves(self) -> bool:
        """Whether all its pods are known to serve what they should."""
        return self.state is State.SERVING and self.served_version is not None

    def lag_seconds(self, at_us: int) -> float:
        """For how long it has been behind at ``at_us``; 0: it is not."""
        return _since(self.behind_since_us, at_us)


@dataclass(frozen=True, slots=True)
class VersionState:
    """Who serves what of one model, as the tracker knows it."""

    registry_id: str
    model: str
    head_generation: int
    latest_version: int | None
    consistent_version: int | None
    consistent_since_us: int
    last_consistent_version: int | None
    behind_since_us: int  # of the region that is behind for longest, store's clock; 0: none is
    skew: int  # how many digests too many are served right now; 0: all pods serve the same bytes
    skew_since_us: int
    updated_at_us: int
    regions: tuple[RegionState, ...] = ()
    alarm: str = ""
    as_of_us: int = 0  # every acknowledgement up to here is in it, tracker's clock
    regions_omitted: int = 0  # rows that did not fit

    def lag_seconds_max(self, at_us: int) -> float:
        """For how long a region has been behind at ``at_us``, the longest; 0: none is."""
        return _since(self.behind_since_us, at_us)

    @property
    def unread_seconds(self) -> float:
        """How far the tracker's reading was behind when it wrote this; 0: all acknowledgements were read."""
        return _since(self.as_of_us, self.updated_at_us)


ALL_OF_THEM = ""
"""As a change's region: no tracker reported the model, anywhere, for a while."""


@dataclass(frozen=True, slots=True)
class VersionChange:
    """What a region serves of a model has changed, or how well it is known. Times are the tracker's clock."""

    registry_id: str
    model: str
    region: str  # ``ALL_OF_THEM``: no tracker spoke from ``confirmed_at_us`` to ``changed_at_us``
    status: str  # from now on; LAG also stands for what time alone makes of it
    changed_at_us: int  # when the tracker learnt of it; whole milliseconds
    confirmed_at_us: int = 0  # when the last report came that bore out what was so before; 0: nothing was known
    version: int | None = None  # what all its pods serve, or did when last heard; None if they differ
    manifest_digest: str = ""
    generation: int = 0  # the lowest among its pods
    pods_serving: int = 0
    pods_expected: int = 0
    reported_at_us: int = 0  # region's clock at its last report


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What could not be read or obeyed, and why."""

    source_topic: str
    source_partition: int
    source_offset: int
    reason: str
    detail: str
    raw: bytes  # at most DEAD_LETTER_KEPT_MAX of them
    raw_size_bytes: int
    raw_digest: str
    key: bytes
    reported_by: str
    reported_at_us: int


def _since(since_us: int, at_us: int) -> float:
    return max(0, at_us - since_us) / 1_000_000 if since_us else 0.0
