"""What the owner of one model in one region knows, and what follows from it. ``step`` decides."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from modelcast.agents.region.decider.knowledge import NEVER, Attempts, Facts, Pending, PodView
from modelcast.agents.region.decider.policy import Policy
from modelcast.consumers.pod_clients.port import CONFIRMING
from modelcast.schemas.records import LogPosition, ModelUpdate, PodReport
from modelcast.schemas.region_memory import Held, Memory
from modelcast.schemas.states import PodState, State

LOG_QUARANTINED_MAX = 10_000
"""How many versions quarantined by people a memory keeps, the newest quarantines."""


@dataclass(frozen=True, slots=True)
class Replica:
    """One model in one region, as its owner sees it. What is derived from the parts is never ahead of them."""

    facts: Facts
    policy: Policy = field(default_factory=Policy)
    pending: Pending = field(default_factory=Pending)
    attempts: Attempts = field(default_factory=Attempts)
    # The region's pods by name, and no others.
    pods: Mapping[str, PodView] = field(default_factory=dict)

    @classmethod
    def owning(
        cls,
        memory: Memory,
        policy: Policy,
        *,
        proved_at: float = NEVER,
        owned_at: float = NEVER,
        holding: bool = False,
        lane: str = "",
    ) -> "Replica":
        """The replica of a worker that has claimed ``memory``, by a call from ``proved_at`` until ``owned_at``.

        Args:
            memory: as claimed; of a candidate, its part.
            policy: how patient to be.
            proved_at: when that call began.
            owned_at: when it was answered.
            holding: whether nothing may begin yet.
            lane: "" for what serves, else a candidate's.
        """
        facts = Facts(
            memory,
            proved_at,
            owned_at,
            quarantined=memory.quarantined,
            contradiction=memory.contradiction,
            halt=memory.halt,
            lane=lane,
        )
        return cls(facts, policy, Pending(holding=holding))

    # --- what is -------------------------------------------------------------------------------------------

    @property
    def target(self) -> ModelUpdate | None:
        """The aspired publication."""
        return self.facts.aspiration.update if self.facts.aspiration else None

    @property
    def digest(self) -> str:
        """The aspired manifest digest, or ""."""
        return self.facts.aspiration.manifest_digest if self.facts.aspiration else ""

    @property
    def generation(self) -> int:
        """The generation that the region follows."""
        return self.facts.aspiration.generation if self.facts.aspiration else 0

    @property
    def digests_kept(self) -> frozenset[str]:
        """Manifest digests that must stay on the disk: what is aspired, staged or served."""
        known = self.facts.aspiration
        aspired = {u.artifact.manifest_digest for u in (known.update, known.staged) if u} if known else set()
        return self.facts.saved.digests_kept | aspired

    @property
    def accepted(self) -> LogPosition:
        """The last log position that the region follows; generation 0: none yet."""
        facts = self.facts
        if self.generation >= facts.saved.accepted_generation:
            return LogPosition(self.generation, facts.accepted_digest)
        return LogPosition(facts.saved.accepted_generation, facts.saved.accepted_digest)

    @property
    def positions(self) -> tuple[LogPosition, ...]:
        """All that was read of the log and must still stand there: what is durable, and what this worker has read.

        A candidate obeys the log only while what serves does: it watches over nothing itself.
        """
        if self.facts.lane:
            return ()
        facts = self.facts
        read = replace(facts.saved, contradiction=facts.contradiction).positions
        return (*read, LogPosition(facts.log_head, facts.log_digest)) if facts.log_head else read

    @property
    def last_resort(self) -> ModelUpdate | None:
        """What the region served last, for pods that serve nothing while what is aspired cannot be had."""
        served = self.facts.saved.served
        update = self.facts.updates.get(served.version) if served else None
        if served is None or update is None or update.artifact.manifest_digest != served.manifest_digest:
            return None
        refused = self.facts.lane or self.served_quarantined or self.is_quarantined(served.manifest_digest)
        return None if refused else update

    @property
    def served_quarantined(self) -> int:
        """The entry by which people quarantined what the region served last; 0: none does.

        While no log is obeyed, what was known before still holds.
        """
        served, aspiration = self.facts.saved.served, self.facts.aspiration
        if served is None:
            return 0
        if aspiration is None:
            return self.facts.saved.served_quarantined
        return aspiration.quarantined.get(served.version, 0)

    @property
    def is_halted(self) -> bool:
        """Whether the rollover of what is aspired was stopped."""
        return self.facts.halt is not None and self.facts.halt.generation == self.generation

    def is_coming(self, digest: str) -> bool:
        """Whether these bytes are being fetched; a fetch that was asked to stop brings nothing any more."""
        return digest in self.pending.fetching and digest not in self.pending.cancelled

    def is_quarantined(self, digest: str) -> bool:
        """Whether this region refuses these bytes."""
        return any(q.manifest_digest == digest for q in self.facts.quarantined)

    @property
    def refused_version(self) -> int | None:
        """The newest version in the log that this region refuses: damaged, loading nowhere, or quarantined."""
        aspiration = self.facts.aspiration
        known = (aspiration.update, aspiration.staged) if aspiration else ()
        refused = {u.version for u in known if u and self.is_quarantined(u.artifact.manifest_digest)}
        serving = self.target.version if self.target and self.target.version not in refused else 0
        refused |= {q.version for q in self.facts.quarantined if q.version > serving}
        if aspiration and aspiration.refused_version is not None:
            refused.add(aspiration.refused_version)
        return max(refused, default=None)

    @property
    def has_bytes(self) -> bool:
        """The aspired bytes are at hand, verified: on this worker's disk, or served by a pod."""
        return self.digest in self.facts.held or any(self.serves_bytes(v) for v in self.pods.values())

    @property
    def in_region(self) -> bool:
        """The aspired bytes are in the region, verified: at hand, or once seen, and therefore in its bucket."""
        return self.digest in self.facts.arrived or self.has_bytes

    def serves_bytes(self, view: PodView) -> bool:
        """The pod serves the aspired bytes, whichever owner ordered it."""
        return _serves(view, self.digest)

    def proves(self, view: PodView, digest: str) -> bool:
        """The pod serves these bytes, so they are whole; one that names only versions, those that are aspired."""
        return _serves(view, digest) or (digest == self.digest and self.confirms(view))

    def confirms(self, view: PodView) -> bool:
        """The pod's read-back says that it serves what is aspired, by an order of this generation or one adopted."""
        reading, target = view.reading, self.target
        if reading is None or target is None or view.lost or view.awaits_read_back or not reading.ready:
            return False
        if reading.version != target.version or reading.proof not in CONFIRMING or self.owes_reload(view):
            return False
        if reading.manifest_digest is not None and reading.manifest_digest != self.digest:
            return False
        return reading.generation is None or reading.generation == self.generation

    def owes_reload(self, view: PodView) -> bool:
        """A pod that names no generation has not obeyed the latest reload, as far as this region knows."""
        aspiration, served = self.facts.aspiration, self.facts.saved.served
        if aspiration is None or view.reading is None or view.reading.generation is not None:
            return False
        return aspiration.reload_generation > max(view.obeyed, served.generation if served else 0)

    @property
    def settled(self) -> bool:
        """Every pod confirms (and there is one), and all pods are known."""
        return bool(self.pods) and not self.facts.fleets_unknown and all(self.confirms(v) for v in self.pods.values())

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
        if self.is_coming(self.digest):
            return State.FETCHING
        failing = any(v.failures and not v.lost for v in self.pods.values())
        if self.attempts.failures.get(self.digest, 0) or failing or self.is_halted:
            return State.FAILED
        if self.in_region:
            begun = any(self.confirms(v) for v in self.pods.values())
            return State.LOADING if begun else State.STAGED
        return State.ANNOUNCED

    @property
    def _state_ahead(self) -> State:
        """Nothing is to be served yet, but perhaps something is to be fetched ahead."""
        ahead = self.facts.aspiration.staged if self.facts.aspiration else None
        digest = ahead.artifact.manifest_digest if ahead else ""
        if digest in self.facts.held:
            return State.STAGED
        if self.is_quarantined(digest):
            return State.QUARANTINED
        if self.is_coming(digest):
            return State.FETCHING
        return State.FAILED if self.attempts.failures.get(digest, 0) else State.ANNOUNCED

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
            error=f"{view.code}: {view.error}" if view.code and view.error else view.error,
            kind=reading.kind if reading else "",
            fleet=view.traits.source,
            zone=view.traits.zone,
        )

    def wakes_at(self, now: float = NEVER) -> float:
        """When ``Tick`` is due next (``inf``: only when something happens).

        What was due at ``now`` has been decided by the step taken then, so only later times count.
        """
        waits_until = self.pending.acceptance_waits_since + self.policy.save_with_fetch_seconds
        times = [*self.attempts.retry_at.values(), self.attempts.state_retry_at, waits_until]
        times += [self.pending.rollover.asked_at, self.facts.bake_ends_at]
        for view in self.pods.values():
            times.append(view.retry_at)
            if not view.reading_now:
                times.append(view.read_at + self.policy.read_every)
        return min((t for t in times if t > now), default=float("inf"))

    def wished_memory(self) -> Memory:
        """What the object ``state/<model>`` should hold now."""
        facts, saved, target, generation = self.facts, self.facts.saved, self.target, self.generation
        memory = replace(
            saved,
            quarantined=facts.quarantined,
            contradiction=None if facts.lane else facts.contradiction,
            halt=facts.halt,
        )
        if facts.aspiration is None or generation < saved.accepted_generation:
            return memory
        served = Held.of(target, generation) if target and self.settled else saved.served
        served_quarantined, log_quarantined = saved.served_quarantined, saved.log_quarantined
        if not facts.lane:
            by_log = facts.aspiration.quarantined
            served_quarantined = by_log.get(served.version, 0) if served else 0
            log_quarantined = tuple(sorted(sorted(by_log, key=by_log.__getitem__)[-LOG_QUARANTINED_MAX:]))
        return replace(
            memory,
            accepted_generation=generation,
            accepted_digest=facts.accepted_digest,
            staged=self.wished_staged,
            served=served,
            served_quarantined=served_quarantined,
            log_quarantined=log_quarantined,
        )

    @property
    def wished_staged(self) -> Held | None:
        """What ``wished_memory`` says to be staged."""
        if self.facts.aspiration is None or self.generation < self.facts.saved.accepted_generation:
            return self.facts.saved.staged
        return self._staged(self.generation)

    @property
    def only_accepts(self) -> bool:
        """Whether all that is to be saved is an accepted generation."""
        wished, saved = self.wished_memory(), self.facts.saved
        accepted = replace(
            saved, accepted_generation=wished.accepted_generation, accepted_digest=wished.accepted_digest
        )
        return wished != saved and wished == accepted

    def is_proved(self, now: float) -> bool:
        """Whether ownership was proved recently enough to order a pod."""
        return now - self.facts.proved_at <= self.policy.proof_seconds

    def _staged(self, generation: int) -> Held | None:
        """The newest of what ``generation`` wants and is held; until all of it is here, what was staged before.

        Else an older version, held long since, would pass for the one that is still on its way.
        """
        ahead = self.facts.aspiration.staged if self.facts.aspiration else None
        wanted = {u.version: u for u in (self.target, ahead) if u}
        digests = {u.artifact.manifest_digest for u in wanted.values()}
        here = {d for d in digests if d in self.facts.held or (d == self.digest and self.settled)}
        newest = max((v for v, u in wanted.items() if u.artifact.manifest_digest in here), default=0)
        coming = any(not self.is_quarantined(d) for d in digests - here)
        before = self.facts.saved.staged
        if not newest or (coming and before and newest <= before.version):
            return before
        return Held.of(wanted[newest], generation)

    # --- change --------------------------------------------------------------------------------------------

    def view_of(self, name: str) -> PodView:
        """The view of one pod; an empty one for a pod that is gone."""
        return self.pods.get(name, PodView())

    def with_pod(self, name: str, view: PodView) -> "Replica":
        """The replica with another view of one pod; a pod that is gone stays gone."""
        return replace(self, pods={**self.pods, name: view}) if name in self.pods else self

    def backoff(self, failures: int, what: str) -> float:
        """Seconds until the next try of ``what`` (a pod, a digest)."""
        return self.policy.backoff(failures, f"{self.facts.saved.region}/{self.facts.saved.model}/{what}")


def _serves(view: PodView, digest: str) -> bool:
    reading = view.reading
    proved = reading is not None and reading.proof in CONFIRMING
    return reading is not None and proved and reading.manifest_digest == digest and not view.lost
