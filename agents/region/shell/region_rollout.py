"""What a rollout adds to a model in a region: the candidate's replica beside that of what serves, and their traffic.

It begins when the log grants this region a candidate, is told what its owner knows, and ends when nothing of it is
left. While the log knows of no rollout there is none of it.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

import structlog

from modelcast.agents.region.decider.events_and_effects import Event, Folded, PodsKnown
from modelcast.agents.region.decider.policy import Policy
from modelcast.agents.region.decider.replica import Replica
from modelcast.agents.region.ownership.state_parts import StateParts
from modelcast.agents.region.shell.candidate_shell import CandidateShell
from modelcast.agents.region.shell.ports import RegionPorts
from modelcast.agents.region.traffic.decider.knowledge import (
    CandidateTrouble,
    ControllerHeard,
    GrantRead,
    PodsListed,
)
from modelcast.agents.region.traffic.shell import TrafficShell
from modelcast.consumers.pod_clients.port import Pod
from modelcast.schemas.errors import ModelcastError
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.traffic.grant import TrafficGrant

log = structlog.get_logger(__name__)


class LeadsRollout(Protocol):
    """Whose rollout it is (``Reconciler``)."""

    def refresh(self) -> None:
        """Look for news in the log."""
        ...

    def owner_doubted(self) -> None:
        """Have it checked whether this worker still owns the model."""
        ...

    def spawn(self, doing: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do it beside everything else, until the owner ends."""
        ...


class LocalRollout:
    """The rollout of one model here, if there is one.

    Args:
        model: which one.
        ports: what all of this worker's reconcilers share.
        parts: the model's state object.
        policy: how patient to be.
        owner: leads it.
    """

    def __init__(self, model: str, ports: RegionPorts, parts: StateParts, policy: Policy, owner: LeadsRollout) -> None:
        self.candidate: CandidateShell | None = None
        self.traffic: TrafficShell | None = None
        self._model = model
        self._ports = ports
        self._parts = parts
        self._policy = policy
        self._owner = owner
        self._log: ModelLog | None = None  # as it is obeyed
        # The grant whose candidate was let go last. Not its generation: an accepted log may go on from a lower one.
        self._done: TrafficGrant | None = None
        self._holding = False
        self._stopping: list[CandidateShell | TrafficShell] = []  # they end, and may have tasks that run still

    # --- what its owner tells -----------------------------------------------------------------------------

    def follow(self, control: Replica, event: Event) -> None:
        """The replica of what serves has taken ``event`` in."""
        facts = control.facts
        if isinstance(event, Folded) and facts.contradiction is None and event.log.head == facts.log_head:
            first, self._log = self._log is None, event.log
            if self._is_due(event.log, control, first=first):
                self._begin(control)
            self._pass_on(event.log, facts.saved.epoch)
        if self.candidate is not None and facts.contradiction is not None:
            self.candidate.contradicted(facts.contradiction.reason)
        if self.candidate is not None:
            self.candidate.stands_beside(_served(control))

    def pods_changed(self, known: PodsKnown) -> None:
        """Pods have come, left or taken another's name."""
        if self.candidate is not None:
            self.candidate.pods_changed(known)
        if self.traffic is not None:
            self.traffic.feed(PodsListed(known.names, known.replaced, known.fleets_unknown))

    def controller_heard(self) -> None:
        """The controller has said something about this model."""
        if self.traffic is not None:
            self.traffic.feed(ControllerHeard())

    def check_owner(self) -> None:
        """Have it checked whether this worker still owns the model."""
        if self.candidate is not None:
            self.candidate.doubt_owner()

    def hold(self, on: bool) -> None:
        """Begin no load and no fetch until it is called with False."""
        self._holding = on
        if self.candidate is None:
            return
        if on:
            self.candidate.hold()
        else:
            self.candidate.release()

    async def settle_loads(self) -> None:
        """Wait for the candidate's loads that are under way."""
        if self.candidate is not None:
            await self.candidate.settle_loads()

    def cancel_fetches(self) -> None:
        """Ask the candidate's fetches to stop."""
        if self.candidate is not None:
            self.candidate.cancel_fetches()

    def digests_kept(self) -> frozenset[str]:
        """Manifest digests of the candidate that must stay on the disk. Any thread may ask."""
        candidate = self.candidate
        replica = candidate.replica if candidate is not None else None
        return replica.digests_kept if replica is not None else frozenset()

    def end(self, reason: str) -> None:
        """Do nothing more from here on; what pods were given stays in force."""
        if self.candidate is not None:
            self.candidate.end(reason)
            self._ended(self.candidate)
        if self.traffic is not None:
            self.traffic.end()
            self._ended(self.traffic)
        self.candidate = self.traffic = None

    async def stop(self, reason: str) -> None:
        """``end``, and return once nothing of it runs any more."""
        self.end(reason)
        await asyncio.gather(*(shell.stop() for shell in self._stopping))

    def _ended(self, shell: CandidateShell | TrafficShell) -> None:
        """``stop`` waits for it; those of earlier rollouts that are done are forgotten."""
        self._stopping = [other for other in self._stopping if other.busy]
        self._stopping.append(shell)

    # --- what the candidate and the traffic say -------------------------------------------------------------

    def refresh(self) -> None:
        """See ``HasCandidate`` and ``LeadsTraffic``."""
        self._owner.refresh()

    def owner_doubted(self) -> None:
        """See ``HasCandidate`` and ``LeadsTraffic``."""
        self._owner.owner_doubted()

    def pod(self, name: str) -> Pod | None:
        """See ``LeadsTraffic``."""
        return self._ports.pods.get(name)

    def candidate_changed(self) -> None:
        """See ``HasCandidate``."""
        replica = self.candidate.replica if self.candidate is not None else None
        if self.traffic is not None and replica is not None:
            self.traffic.feed(CandidateTrouble(_trouble(replica)))

    def candidate_over(self) -> None:
        """See ``HasCandidate``."""
        grant = self._grant
        self._done = grant if grant is not None else self._done
        if self.candidate is not None:
            self._ended(self.candidate)
        self.candidate = None
        if self._parts.candidate is not None:
            self._owner.spawn(self._forget())

    def traffic_quiet(self) -> None:
        """See ``LeadsTraffic``."""
        if self.candidate is None and self.traffic is not None:
            self.traffic.end()
            self._ended(self.traffic)
            self.traffic = None

    # --- beginning and ending -------------------------------------------------------------------------------

    @property
    def _grant(self) -> TrafficGrant | None:
        return self._log.grant(self._ports.region) if self._log is not None else None

    def _is_due(self, folded: ModelLog, control: Replica, *, first: bool) -> bool:
        """Whether the candidate's replica begins. Who has just taken over looks what an older rollout has left."""
        if self.candidate is not None:
            return False
        grant = folded.grant(self._ports.region)
        if first and (grant is not None or control.facts.saved.candidate is not None):
            return True
        return grant is not None and grant.keeps_candidate and grant != self._done

    def _begin(self, control: Replica) -> None:
        ports, saved, proved_at = self._ports, control.facts.saved, control.facts.proved_at
        known = ports.pods_known()
        self.candidate = candidate = CandidateShell(
            self._model,
            ports,
            self._parts,
            self._policy,
            self,
            self._parts.of_candidate(saved),
            proved_at=proved_at,
            holding=self._holding,
        )
        if self.traffic is None and ports.traffic is not None:
            self.traffic = TrafficShell(
                ports.region,
                saved,
                ports.traffic,
                self._parts,
                ports.stores,
                ports.log_reads,
                self,
                proved_at=proved_at,
            )
            self.traffic.feed(PodsListed(known.names, fleets_unknown=known.fleets_unknown))
        candidate.pods_changed(known)

    def _pass_on(self, folded: ModelLog, epoch: int) -> None:
        if self.candidate is not None:
            self.candidate.folded(folded)
        if self.traffic is not None:
            self.traffic.feed(GrantRead(self._grant, epoch, folded.head))

    async def _forget(self) -> None:
        try:
            await self._parts.turn.run(self._ports.stores, lambda: self._parts.save_candidate(None))
        except ModelcastError as error:  # the next write of the state says so, too
            log.warning("the end of a candidate is not written yet", model=self._model, error=error)


def _served(control: Replica) -> dict[str, str]:
    """What each pod serves, by manifest digest."""
    readings = ((name, view.reading) for name, view in control.pods.items() if not view.lost)
    return {name: r.manifest_digest for name, r in readings if r is not None and r.ready and r.manifest_digest}


def _trouble(candidate: Replica) -> str:
    """What keeps a candidate from being loaded, for people."""
    facts = candidate.facts
    refusal = next((q.reason for q in facts.quarantined if q.manifest_digest == candidate.digest), "")
    stopped = facts.halt.reason if candidate.is_halted and facts.halt is not None else ""
    failing = sorted(f"{name}: {view.error}" for name, view in candidate.pods.items() if view.error)
    return facts.alarm or refusal or stopped or candidate.attempts.error or "; ".join(failing[:1])
