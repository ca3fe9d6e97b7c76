"""What a replica consists of: facts, pending work, attempts. The invariant of each field stands on it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from modelcast.agents.region.decider.events_and_effects import PodTraits, Transfer
from modelcast.agents.region.decider.milestones import Milestones
from modelcast.consumers.pod_clients.port import LoadOrder, PodReading
from modelcast.schemas.log.fold import Aspiration
from modelcast.schemas.records import ModelUpdate
from modelcast.schemas.region_memory import Contradiction, Halt, Memory, Quarantine

NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known. Only events change it, and nothing in it is ahead of the truth."""

    # What the state object holds under our epoch, as the last call on it returned. Its accepted generation never falls.
    saved: Memory
    # Ownership was certain then: the start of the last call on the state object that succeeded, or, if that was slow,
    # a little later than that (``Policy.slow_proof_seconds``).
    proved_at: float = NEVER
    # When the claim was answered. A log read before then may lack what ``saved`` says was accepted, by another owner.
    owned_at: float = NEVER

    # What the log asks for. Its generation never falls; None: the log was not read yet.
    aspiration: Aspiration | None = None
    # The running digest of the log up to the generation of ``aspiration``; "": that is 0.
    accepted_digest: str = ""
    # The longest log that was obeyed: a shorter one is an answer that was overtaken, and its running digest.
    log_head: int = 0
    log_digest: str = ""
    # The log's publications by version, as far as it was read.
    updates: Mapping[int, ModelUpdate] = field(default_factory=dict)
    # Why the log can't be read on; "": it can. Its entries read before are still obeyed.
    unreadable: str = ""
    # What contradicts the log that this region accepted; not None: no log is obeyed before one that was read from entry
    # 1 answers every position known. What is served goes on being served.
    contradiction: Contradiction | None = None
    # Who else owns the model; not "": nothing is done any more, for good.
    replaced: str = ""

    # Whether the region's pods were named: until then an empty region is not one without pods.
    pods_known: bool = False
    # Fleets that have not said yet which pods they have: while there are any, the region is not settled.
    fleets_unknown: int = 0
    # Which fleets can't be looked at, for people; "": all can. The pods that they had before still count.
    fleet_trouble: str = ""
    # Manifest digests verified on this worker's disk; a pod that finds other bytes there takes one out.
    held: frozenset[str] = frozenset()
    # Manifest digests whose bytes were seen in the region, and so lie in its bucket. It only grows.
    arrived: frozenset[str] = frozenset()
    # Manifest digests that a pod asked for in vain. None of them is in ``held``.
    missing: frozenset[str] = frozenset()
    # What the last fetch of a manifest digest cost, or has cost up to now.
    transfers: Mapping[str, Transfer] = field(default_factory=dict)
    # What this region refuses: as saved, and what came since. Only a RELEASE takes one out.
    quarantined: tuple[Quarantine, ...] = ()
    # The rollover that was stopped: as saved, or since. A higher generation, or every pod that confirms, ends it.
    halt: Halt | None = None

    # When the aspired generation came how far; for people, nothing is decided by it.
    milestones: Milestones = field(default_factory=Milestones)

    # Of what it is the replica: "" what serves, else the lane of a candidate. It never changes.
    lane: str = ""
    # What pods serve beside the candidate, by manifest digest; only of a candidate's replica.
    beside: Mapping[str, str] = field(default_factory=dict)
    # What the log wants to be served beside it, by manifest digest; only of a candidate's replica.
    beside_aspired: str = ""
    # When the way back that a promotion left loaded is given up; ``inf``: there is none.
    bake_ends_at: float = float("inf")

    @property
    def alarm(self) -> str:
        """Why no log is obeyed, for people; "": one is."""
        return self.contradiction.reason if self.contradiction is not None else ""


@dataclass(frozen=True, slots=True)
class Rollover:
    """What holds the pods that wait for their orders.

    Attributes:
        waits: for people; "": nothing does.
        until: when the pause that is the reason ends; NEVER: it is no pause.
        asked_at: when to decide again although nothing has happened.
        blocked: no time ends it, only a person.
    """

    waits: str = ""
    until: float = NEVER
    asked_at: float = float("inf")
    blocked: bool = False


@dataclass(frozen=True, slots=True)
class Pending:
    """What was begun and not answered, and what waits to begin. Pods have their own, in ``PodView``."""

    # Manifest digests asked for; each is fetched at most once at a time.
    fetching: frozenset[str] = frozenset()
    # A part of ``fetching``: these were asked to stop.
    cancelled: frozenset[str] = frozenset()
    # A call on the state object is under way. At most one of the two is: no write overtakes another.
    saving: bool = False
    checking: bool = False
    # When that call was asked for: what it proves was true then at the earliest.
    state_asked_at: float = NEVER
    # Since when an accepted generation, and nothing else, waits to be written with the fetch that it began.
    acceptance_waits_since: float = float("inf")
    # Something cast doubt on our ownership, or on our reading of the log: ask. It stays until the answer.
    suspects_owner: bool = False
    suspects_log: bool = False
    # An epoch that ours must rise above, if the model is still ours; 0: none.
    outbids: int = 0
    # No fetch and no load begins.
    holding: bool = False
    # Why pods wait for their orders.
    rollover: Rollover = Rollover()


@dataclass(frozen=True, slots=True)
class Attempts:
    """What has failed since it last succeeded, and when it is tried again. A new generation starts anew."""

    # How often the bytes of a manifest digest arrived damaged, or lay so on a pod, since a pod served them last; at
    # ``Policy.damage_attempts`` they are quarantined.
    damages: Mapping[str, int] = field(default_factory=dict)
    # How often in a row a digest could not be fetched, and when it may be tried again; the same keys in both.
    failures: Mapping[str, int] = field(default_factory=dict)
    retry_at: Mapping[str, float] = field(default_factory=dict)
    # How often the aspired version could not be loaded, by any pod, since a pod served it last.
    broken_loads: int = 0
    # When the first pod could be ordered; NEVER: none could yet.
    rollover_began_at: float = NEVER
    # How often in a row calls on the state object failed, and when the next may begin.
    state_failures: int = 0
    state_retry_at: float = NEVER
    # Why the last attempt failed, for people; "" once it has succeeded.
    error: str = ""


@dataclass(frozen=True, slots=True)
class PodView:
    """What is known of one pod, what it was asked, and what failed."""

    # Its last reading; None: it was not read since it was lost, or let go of a candidate.
    reading: PodReading | None = None
    read_at: float = NEVER
    # It was read, or found not to answer, since we own the model. No order is given before.
    known: bool = False
    # It did not answer when it was last asked. Then ``reading`` is None.
    lost: bool = False

    # An order is under way, or waits for its read-back.
    loading: LoadOrder | None = None
    # The pod says that it serves ``loading``; believed once it was read.
    awaits_read_back: bool = False
    # It was asked to let go of a candidate, and has not answered.
    unloading: bool = False
    # It was ordered a candidate since it last let go of one.
    owes_unload: bool = False
    reading_now: bool = False
    # The read under way began before the load answered: it proves nothing about it.
    overtaken: bool = False

    # Loads that failed in a row, and when the next may begin.
    failures: int = 0
    retry_at: float = NEVER
    # Why, for people; and the stable word for it, "" where there is none.
    error: str = ""
    code: str = ""
    # The generation of the last order of ours that was read back: all that tells a reload of a pod that names none.
    obeyed: int = 0
    # Where it stands, as the settings or its discovery say.
    traits: PodTraits = field(default_factory=PodTraits)
    # The other model that it loads; an order waits for that. "": none.
    loads_another: str = ""
    # When it was last ordered another version; when it was first seen to serve what is aspired after that, or failed.
    ordered_at: float = NEVER
    ended_at: float = NEVER
    # What went wrong last, also after it was read back since; it counts while ``failures`` do.
    failure: str = ""
    failure_code: str = ""
