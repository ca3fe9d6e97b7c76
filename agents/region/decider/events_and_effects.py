"""What goes into ``Replica.step`` (events: what happened) and what comes out (effects: what to do)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from modelcast.consumers.pod_clients.port import LoadOrder, PodReading
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.records import ModelUpdate
from modelcast.schemas.region_memory import Memory


@dataclass(frozen=True, slots=True)
class Transfer:
    """What one fetch cost. ``moved``: over the long link; ``saved``: against moving the whole.

    ``bytes_planned`` was to be moved, at ``bytes_per_second`` it came; ``way`` says how, for people.
    """

    bytes_moved: int = 0
    bytes_saved: int = 0
    bytes_total: int = 0
    stage_seconds: Mapping[str, float] = field(default_factory=dict)
    bytes_planned: int = 0
    bytes_per_second: float = 0.0
    way: str = ""
    kind: str = ""  # the way that brought most of it, in one word: few enough for a metric's label
    # When each stage first began and last ended, by this machine's clock, UTC microseconds.
    stage_times_us: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PodTraits:
    """Where a pod stands.

    Attributes:
        fleet: the one whose rollover policy holds for it; "": the region's does.
        zone: as its discovery names it, else as its fleet's settings do.
        source: where the region knows it from, for people.
    """

    fleet: str = ""
    zone: str = ""
    source: str = ""


# --- events ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Folded:
    """The log was read.

    Attributes:
        log: as it was read.
        whole: just now, from entry 1 on.
        asked_at: when the reading began: what came into the store later may be missing.
    """

    log: ModelLog
    whole: bool = False
    asked_at: float = float("-inf")


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The log can't be read beyond what was folded (``reason``), or can again ("")."""

    reason: str


@dataclass(frozen=True, slots=True)
class Contradicted:
    """The store contradicts what was read from it before: it was wiped, restored or rewritten."""

    reason: str


@dataclass(frozen=True, slots=True)
class PodsKnown:
    """The region's pods, as they are known now.

    ``replaced``: names that another pod has taken since the last time; ``fleets_unknown``: how many fleets have not
    said yet which pods they have; ``trouble``: which fleets can't be looked at, for people.
    """

    names: tuple[str, ...]
    replaced: frozenset[str] = frozenset()
    fleets_unknown: int = 0
    trouble: str = ""
    traits: Mapping[str, PodTraits] = field(default_factory=dict)  # of pods that have any


@dataclass(frozen=True, slots=True)
class Fetching:
    """A fetch under way has come so far."""

    manifest_digest: str
    transfer: Transfer


@dataclass(frozen=True, slots=True)
class Fetched:
    """An artifact lies on this worker's disk, verified (``Artifacts.fetch``)."""

    manifest_digest: str
    transfer: Transfer = Transfer()


@dataclass(frozen=True, slots=True)
class FetchFailed:
    """A fetch failed. ``damaged``: other bytes arrived; ``cancelled``: it was asked to stop."""

    manifest_digest: str
    message: str
    damaged: bool = False
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class Loaded:
    """A pod reports that it serves the order; it counts once the pod has been read back."""

    pod: str
    order: LoadOrder


@dataclass(frozen=True, slots=True)
class LoadRefused:
    """A pod refused the order (stale, foreign, unauthorised); nothing changed there."""

    pod: str
    order: LoadOrder
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class LoadBroken:
    """A pod failed to load; it serves what it served before."""

    pod: str
    order: LoadOrder
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class PodBusy:
    """The order was not given: the pod loads ``model``, and loads one model at a time."""

    pod: str
    model: str


@dataclass(frozen=True, slots=True)
class PodFree:
    """The pod loads no other model any more."""

    pod: str


@dataclass(frozen=True, slots=True)
class PodsOut:
    """Of the pods whose swap has a gap, these take no traffic now: each loads another model, by name."""

    loads: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PodRead:
    """A pod was read back."""

    reading: PodReading


@dataclass(frozen=True, slots=True)
class PodLost:
    """A pod did not answer (to a load or a read)."""

    pod: str
    message: str


@dataclass(frozen=True, slots=True)
class Saved:
    """The memory is durable under this worker's epoch: it was written, or read back."""

    memory: Memory


@dataclass(frozen=True, slots=True)
class SaveFailed:
    """The state object was not written or read, as far as is known: try again."""

    message: str


@dataclass(frozen=True, slots=True)
class Replaced:
    """A worker with a higher epoch owns the model, or our partition was revoked."""

    reason: str


@dataclass(frozen=True, slots=True)
class OwnershipDoubted:
    """Another worker may have taken the model over: this process slept, or was assigned its partition anew."""


@dataclass(frozen=True, slots=True)
class Holding:
    """Begin no fetch and no load (``on``: a rebalance has begun, or the worker ends), or go on."""

    on: bool


@dataclass(frozen=True, slots=True)
class ControlServes:
    """What pods serve beside the candidate: by pod, the manifest digest that was read back. Of a candidate only."""

    digests: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Unloaded:
    """What came of an ``Unload``; ``code`` "": the pod says that it is done, which counts once it was read back."""

    pod: str
    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed."""


Event = (
    Folded
    | Unreadable
    | Contradicted
    | PodsKnown
    | Fetching
    | Fetched
    | FetchFailed
    | Loaded
    | LoadRefused
    | LoadBroken
    | PodBusy
    | PodFree
    | PodsOut
    | PodRead
    | PodLost
    | Saved
    | SaveFailed
    | Replaced
    | OwnershipDoubted
    | Holding
    | ControlServes
    | Unloaded
    | Tick
)


# --- effects -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fetch:
    """Bring an artifact to this worker's disk, verified; answers ``Fetched`` or ``FetchFailed``."""

    update: ModelUpdate


@dataclass(frozen=True, slots=True)
class CancelFetch:
    """Stop a fetch; it answers ``FetchFailed(cancelled=True)``, or its outcome if it was over."""

    manifest_digest: str


@dataclass(frozen=True, slots=True)
class Load:
    """Give an order to a pod; answers ``Loaded``, ``LoadRefused``, ``LoadBroken``, ``PodBusy`` or ``PodLost``."""

    pod: str
    order: LoadOrder


@dataclass(frozen=True, slots=True)
class Unload:
    """Have a pod let go of a candidate that no rollout needs any more; answers ``Unloaded``. Never of what serves."""

    pod: str
    epoch: int
    generation: int


@dataclass(frozen=True, slots=True)
class Read:
    """Read a pod back; answers ``PodRead`` or ``PodLost``."""

    pod: str


@dataclass(frozen=True, slots=True)
class Save:
    """Write the memory by conditional put; answers ``Saved``, ``SaveFailed`` or ``Replaced``."""

    memory: Memory


@dataclass(frozen=True, slots=True)
class Report:
    """What the region's snapshot says has changed: send it."""


@dataclass(frozen=True, slots=True)
class CheckOwner:
    """Read ``state/<model>``; answers ``Saved``, ``SaveFailed``, or ``Replaced`` if the epoch is another's.

    If it is still ours, then the region's bucket was lost and made anew: take an epoch above ``epoch_seen``, the
    highest that a pod reports.
    """

    epoch_seen: int = 0


@dataclass(frozen=True, slots=True)
class Refold:
    """Read the log now, for a higher generation than the known one exists; answers ``Folded``."""


Effect = Fetch | CancelFetch | Load | Unload | Read | Save | Report | CheckOwner | Refold
