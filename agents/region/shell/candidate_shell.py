"""The replica of a rollout's candidate, carried out beside that of what serves; it owns nothing by itself."""

import asyncio
from typing import Protocol

import structlog

from modelcast.agents.region.decider.events_and_effects import (
    Contradicted,
    ControlServes,
    Event,
    Folded,
    OwnershipDoubted,
    PodsKnown,
)
from modelcast.agents.region.decider.knowledge import NEVER
from modelcast.agents.region.decider.lane import is_over
from modelcast.agents.region.decider.policy import Policy
from modelcast.agents.region.decider.replica import Replica
from modelcast.agents.region.ownership.state_parts import CandidateState, StateParts
from modelcast.agents.region.shell.effects import EffectRunner
from modelcast.agents.region.shell.ports import RegionPorts
from modelcast.agents.region.shell.replica_shell import ReplicaShell
from modelcast.consumers.pod_clients.port import CANDIDATE
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.region_memory import Memory

log = structlog.get_logger(__name__)


class HasCandidate(Protocol):
    """Whose candidate it is (``Reconciler``)."""

    def refresh(self) -> None:
        """Look for news in the log."""
        ...

    def owner_doubted(self) -> None:
        """Have it checked whether this worker still owns the model."""
        ...

    def candidate_changed(self) -> None:
        """What people can see of the candidate has changed."""
        ...

    def candidate_over(self) -> None:
        """Nothing is left of it here."""
        ...


class CandidateShell(ReplicaShell):
    """Begins at once. It obeys the log only as far, and as long, as its owner does.

    Args:
        model: which one.
        ports: what all of this worker's reconcilers share.
        parts: the model's state object.
        policy: how patient to be.
        owner: whose candidate it is.
        memory: that part, as it was read.
        proved_at: when (event loop's time) ownership was last certain.
        holding: whether nothing may begin yet.
    """

    def __init__(
        self,
        model: str,
        ports: RegionPorts,
        parts: StateParts,
        policy: Policy,
        owner: HasCandidate,
        memory: Memory,
        *,
        proved_at: float = NEVER,
        holding: bool = False,
    ) -> None:
        bound = log.bind(model=model, region=ports.region, lane=CANDIDATE)
        effects = EffectRunner(model, ports, CandidateState(parts), parts.turn, bound, CANDIDATE)
        super().__init__(model, ports, effects, ports.candidate_observer, bound, CANDIDATE)
        self._owner = owner
        self._holding = holding
        self._epoch = memory.epoch
        self.replica = Replica.owning(memory, policy, proved_at=proved_at, holding=holding, lane=CANDIDATE)

    def folded(self, folded: ModelLog) -> None:
        """Its owner obeys this log."""
        self._feed(Folded(folded, whole=True, asked_at=float("inf")))

    def contradicted(self, reason: str) -> None:
        """Its owner obeys no log."""
        if self.replica is not None and self.replica.facts.contradiction is None:
            self._feed(Contradicted(reason))

    def pods_changed(self, known: PodsKnown) -> None:
        """Pods have come, left or taken another's name."""
        self._feed(known)

    def stands_beside(self, digests: dict[str, str]) -> None:
        """What pods serve, as it was read back."""
        if self.replica is not None and self.replica.facts.beside != digests:
            self._feed(ControlServes(digests))

    def doubt_owner(self) -> None:
        """Have it checked whether this worker still owns the model."""
        self._feed(OwnershipDoubted())

    def refresh(self) -> None:
        """See ``ReplicaShell``."""
        self._owner.refresh()

    def end(self, reason: str) -> None:
        """Do nothing more from here on."""
        if not self._stopped:
            self._close()
            self._log.info("the candidate is looked after no more", reason=reason)

    def _report(self) -> None:
        self._owner.candidate_changed()

    def _give_up(self, reason: str) -> None:
        self.end(reason)
        self._owner.owner_doubted()

    def _stepped(self, event: Event) -> None:
        replica = self.replica
        if replica is None or self._stopped:
            return
        if replica.facts.saved.epoch != self._epoch:  # the owner has the same one, and must know
            self._epoch = replica.facts.saved.epoch
            self._owner.owner_doubted()
        if is_over(replica):
            self.end("the rollout is over")
            self._owner.candidate_over()

    async def stop(self) -> None:
        """Return once nothing of it runs any more; ``end`` was called."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
