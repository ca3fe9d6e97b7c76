"""What the owner of one model in one region knows, and what follows from it. ``step`` decides."""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from modelcast.agents.region.decider.memory import Held, Memory, Quarantine
from modelcast.agents.region.decider.values import Transfer
from modelcast.consumers.pods.port import LoadOrder, PodReading
from modelcast.schemas.log import Aspiration
from modelcast.schemas.records import ModelUpdate, PodReport
from modelcast.schemas.states import PodState, State

NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class Policy:
    """How patient a region is. Times in seconds."""

    damage_attempts: int = 3  # damaged bytes are fetched again this often in all, then quarantined
    load_attempts: int = 3  # a version that loads nowhere is quarantined after so many tries
    loads_at_once: int = 1
    read_every: float = 5.0
    backoff_first: float = 1.0
    backoff_max: float = 60.0

    def backoff(self, failures: int, salt: str) -> float:
        """Seconds until try ``failures + 1``: doubling, jittered by half so that regions do not march in step."""
        full = min(self.backoff_max, self.backoff_first * 2.0 ** min(failures - 1, 30))
        spread = zlib.crc32(f"{salt}/{failures}".encode()) / 2**32
        return full * (0.5 + spread / 2)


@dataclass(frozen=True, slots=True)
class PodView:
    """What is known of one pod."""

    reading: PodReading | None = None
    read_at: float = NEVER
    known: bool = False  # read, or found not to answer, since we own the model
    lost: bool = False
    failures: int = 0
    retry_at: float = NEVER
    loading: LoadOrder | None = None  # an order is under way or waits for its read-back
    awaits_read_back: bool = False
    reading_now: bool = False
    overtaken: bool = False  # the read under way began before the load answered: it proves nothing about it
    error: str = ""


@dataclass(frozen=True, slots=True)
class Replica:
    """Everything that the owner of one model in one region knows. ``wished`` is ``saved`` plus what came since."""

    saved: Memory
    policy: Policy = Policy()
    aspiration: Aspiration | None = None
    accepted_event_id: str = ""
    log_head: int = 0  # the longest log seen
    pods: Mapping[str, PodView] = field(default_factory=dict)
    pods_known: bool = False
    updates: Mapping[int, ModelUpdate] = field(default_factory=dict)  # the log's publications, by version
    held: frozenset[str] = frozenset()  # manifest digests verified on this worker's disk
    arrived: frozenset[str] = frozenset()  # manifest digests whose bytes were seen in the region
    missing: frozenset[str] = frozenset()  # manifest digests that a pod asked for in vain
    fetching: frozenset[str] = frozenset()
    cancelled: frozenset[str] = frozenset()
    transfers: Mapping[str, Transfer] = field(default_factory=dict)
    quarantined: tuple[Quarantine, ...] = ()
    damages: Mapping[str, int] = field(default_factory=dict)  # by manifest digest
    failures: Mapping[str, int] = field(default_factory=dict)
    retry_at: Mapping[str, float] = field(default_factory=dict)
    broken_loads: int = 0
    saving: bool = False
    save_failures: int = 0
    save_retry_at: float = NEVER
    error: str = ""
    alarm: str = ""  # the log contradicts what this region accepted: nothing is done until a person looks
    unreadable: str = ""  # why the log can't be read on: what it said before is still obeyed
    replaced: str = ""  # somebody else owns the model: nothing is done any more
    suspects_owner: bool = False
    suspects_log: bool = False
    outbids: int = 0  # an epoch that ours must rise above, if the model is still ours

    @classmethod
    def owning(cls, memory: Memory, policy: Policy = Policy()) -> "Replica":
        """The replica of a worker that has just claimed ``memory``."""
        return cls(saved=memory, policy=policy, quarantined=memory.quarantined)

    # --- what is -------------------------------------------------------------------------------------------

    @property
    def target(self) -> ModelUpdate | None:
        """The aspired publication."""
        return self.aspiration.update if self.aspiration else None

    @property
    def digest(self) -> str:
        """The aspired manifest digest, or ""."""
        return self.aspiration.manifest_digest if self.aspiration else ""

    @property
    def generation(self) -> int:
        """The generation that the region follows."""
        return self.aspiration.generation if self.aspiration else 0

    @property
    def last_resort(self) -> ModelUpdate | None:
        """What the region served last, for pods that serve nothing while what is aspired cannot be had."""
        served = self.saved.served
        update = self.updates.get(served.version) if served else None
        if served is None or update is None or update.artifact.manifest_digest != served.manifest_digest:
            return None
        return None if self.is_quarantined(served.manifest_digest) else update

    def is_quarantined(self, digest: str) -> bool:
        """Whether this region refuses these bytes."""
        return any(q.manifest_digest == digest for q in self.quarantined)

    @property
    def refused_version(self) -> int | None:
        """The newest version that this region was told of and refuses: damaged, loading nowhere, or quarantined."""
        aspiration = self.aspiration
        told = (aspiration.update, aspiration.staged) if aspiration else ()
        refused = {u.version for u in told if u and self.is_quarantined(u.artifact.manifest_digest)}
        serving = self.target.version if self.target and self.target.version not in refused else 0
        refused |= {q.version for q in self.quarantined if q.version > serving}
        if aspiration and aspiration.refused_version is not None:
            refused.add(aspiration.refused_version)
        return max(refused, default=None)

    @property
    def has_bytes(self) -> bool:
        """The aspired bytes are at hand, verified: on this worker's disk, or served by a pod."""
        return self.digest in self.held or any(self.serves_bytes(v) for v in self.pods.values())

    @property
    def in_region(self) -> bool:
        """The aspired bytes are in the region, verified: at hand, or once seen, and therefore in its bucket."""
        return self.digest in self.arrived or self.has_bytes

    def serves_bytes(self, view: PodView) -> bool:
        """The pod serves the aspired bytes, whoever told it to."""
        return view.reading is not None and view.reading.manifest_digest == self.digest and not view.lost

    def confirms(self, view: PodView) -> bool:
        """The pod's read-back says that it serves what is aspired, by an order of this generation or one adopted."""
        reading, target = view.reading, self.target
        if reading is None or target is None or view.lost or view.awaits_read_back or not reading.ready:
            return False
        if reading.version != target.version:
            return False
        if reading.manifest_digest is not None and reading.manifest_digest != self.digest:
            return False
        return reading.generation is None or reading.generation == self.generation

    @property
    def settled(self) -> bool:
        """Every pod confirms (and there is one)."""
        return bool(self.pods) and all(self.confirms(v) for v in self.pods.values())

    @property
    def state(self) -> State:
        """Where the aspired generation is; derived, so never ahead of the facts."""
        if self.target is None:
            return self._state_ahead
        if self.settled:
            return State.SERVING
        if self.is_quarantined(self.digest):
            return State.QUARANTINED
        if any(v.loading and v.loading.manifest_digest == self.digest for v in self.pods.values()):
            return State.LOADING
        if self.digest in self.fetching:
            return State.FETCHING
        failing = any(v.failures and not v.lost for v in self.pods.values())
        if self.failures.get(self.digest, 0) or failing:
            return State.FAILED
        if self.in_region:
            begun = any(self.confirms(v) for v in self.pods.values())
            return State.LOADING if begun else State.STAGED
        return State.ANNOUNCED

    @property
    def _state_ahead(self) -> State:
        """Nothing is to be served yet, but perhaps something is to be fetched ahead."""
        ahead = self.aspiration.staged if self.aspiration else None
        digest = ahead.artifact.manifest_digest if ahead else ""
        if digest in self.held:
            return State.STAGED
        if self.is_quarantined(digest):
            return State.QUARANTINED
        if digest in self.fetching:
            return State.FETCHING
        return State.FAILED if self.failures.get(digest, 0) else State.ANNOUNCED

    def pod_report(self, name: str, now_us: int, now: float) -> PodReport:
        """One pod's row of the snapshot. ``now`` and ``now_us`` are the same instant on two clocks."""
        view = self.pods[name]
        reading = view.reading
        if view.lost:
            state = PodState.UNREACHABLE
        elif self.confirms(view):
            state = PodState.SERVING
        elif view.loading:
            state = PodState.LOADING
        else:
            state = PodState.FAILED if view.failures else PodState.PENDING
        read_at_us = now_us - int((now - view.read_at) * 1e6) if view.read_at > NEVER else 0
        return PodReport(
            pod=name,
            state=state,
            version=reading.version if reading else None,
            manifest_digest=(reading.manifest_digest or "") if reading else "",
            generation=(reading.generation or 0) if reading else 0,
            incarnation=reading.incarnation if reading else "",
            read_at_us=max(read_at_us, 0),
            error=view.error,
        )

    def wakes_at(self, now: float = NEVER) -> float:
        """When ``Tick`` is due next (``inf``: only when something happens).

        What was due at ``now`` has been decided by the step taken then, so only later times count.
        """
        times = [*self.retry_at.values(), self.save_retry_at]
        for view in self.pods.values():
            times.append(view.retry_at)
            if not view.reading_now:
                times.append(view.read_at + self.policy.read_every)
        return min((t for t in times if t > now), default=float("inf"))

    def wished_memory(self) -> Memory:
        """What ``state/<model>`` should say."""
        saved, target, generation = self.saved, self.target, self.generation
        memory = replace(saved, quarantined=self.quarantined)
        if self.aspiration is None or generation < saved.accepted_generation:
            return memory
        memory = replace(memory, accepted_generation=generation, accepted_event_id=self.accepted_event_id)
        memory = replace(memory, staged=self._staged(generation))
        if target and self.settled:
            memory = replace(memory, served=Held.of(target, generation))
        return memory

    def _staged(self, generation: int) -> Held | None:
        """The newest of what ``generation`` wants and is held; until all of it is here, what was staged before.

        Else an older version, held long since, would pass for the one that is still on its way.
        """
        ahead = self.aspiration.staged if self.aspiration else None
        wanted = {u.version: u for u in (self.target, ahead) if u}
        digests = {u.artifact.manifest_digest for u in wanted.values()}
        here = {d for d in digests if d in self.held or (d == self.digest and self.settled)}
        newest = max((v for v, u in wanted.items() if u.artifact.manifest_digest in here), default=0)
        coming = any(not self.is_quarantined(d) for d in digests - here)
        before = self.saved.staged
        if not newest or (coming and before and newest <= before.version):
            return before
        return Held.of(wanted[newest], generation)

    # --- change --------------------------------------------------------------------------------------------

    def with_pod(self, name: str, change: Callable[[PodView], PodView]) -> "Replica":
        """The replica with one pod's view changed; a pod that is gone stays gone."""
        view = self.pods.get(name)
        return self if view is None else replace(self, pods={**self.pods, name: change(view)})

    def backoff(self, failures: int, what: str) -> float:
        """Seconds until the next try of ``what`` (a pod, a digest)."""
        return self.policy.backoff(failures, f"{self.saved.region}/{self.saved.model}/{what}")
