"""One model's reconciler: from the claim to the end of ownership.

Beside the replica of what serves it leads, while a rollout is in the log, what ``region_rollout`` says.
"""

import asyncio
from collections.abc import Callable

import structlog

from modelcast.agents.region.decider.events_and_effects import (
    Contradicted,
    Event,
    Folded,
    OwnershipDoubted,
    PodsKnown,
    Unreadable,
)
from modelcast.agents.region.decider.policy import Policy
from modelcast.agents.region.decider.replica import Replica
from modelcast.agents.region.decider.takeover import ClaimModel, GiveUp, LookInLog, Pause, Takeover
from modelcast.agents.region.ownership.owned_state import Superseded
from modelcast.agents.region.ownership.state_parts import StateParts
from modelcast.agents.region.shell.effects import EffectRunner
from modelcast.agents.region.shell.log_follower import LogFollower
from modelcast.agents.region.shell.ports import LogReader, RegionPorts, StateObject
from modelcast.agents.region.shell.region_rollout import LocalRollout
from modelcast.agents.region.shell.replica_shell import ReplicaShell
from modelcast.infra.telemetry import metrics
from modelcast.schemas.errors import ModelcastError
from modelcast.schemas.region_memory import Memory

log = structlog.get_logger(__name__)


class Reconciler(ReplicaShell):
    """Use ``start`` once, then ``announced``, ``refresh``, ``hold``, ``release``; ``end`` or ``stop`` end it.

    Args:
        model: which one.
        ports: what all of this worker's reconcilers share.
        state: the model's state object.
        log_reader: the model's log.
        policy: how patient to be.
        on_replaced: called once if another worker owns the model, or it can't be taken.
    """

    def __init__(
        self,
        model: str,
        ports: RegionPorts,
        state: StateObject,
        log_reader: LogReader,
        policy: Policy,
        on_replaced: Callable[[str], None],
    ) -> None:
        bound = log.bind(model=model, region=ports.region)
        parts = StateParts(state)
        super().__init__(model, ports, EffectRunner(model, ports, parts, parts.turn, bound), ports.observer, bound)
        self.log_reader = log_reader
        self.unknown = False  # it was only spoken of: the registry holds nothing
        self.on_trial = False  # it was only announced: whether it exists is not known yet
        self.owned_at = float("inf")  # when (event loop's time) the claim stood
        self.rollout = LocalRollout(model, ports, parts, policy, self)
        self._policy = policy
        self._on_replaced = on_replaced
        self._follower = LogFollower(log_reader, ports.log_reads, policy, self, self._log)

    # --- what others call ---------------------------------------------------------------------------------

    def start(self, registry_id: str, *, known_to_exist: bool) -> None:
        """Claim the model (for as long as it takes), then read its log and its pods and do what they ask for.

        A model that was only announced is not claimed before its log holds an entry.
        """
        self.on_trial = not known_to_exist
        self.spawn(self._begin(registry_id, Takeover.of(self._policy, known=known_to_exist)))

    def knows(self, generation: int) -> bool:
        """Whether the log was read that far."""
        return self._follower.knows(generation)

    def wake(self, generation: int) -> None:
        """Read the log up to ``generation`` and act on it."""
        self._follower.reach(generation)

    async def announced(self, generation: int) -> None:
        """``wake``, and return once the log was read, or can't be."""
        if (reading := self._follower.reach(generation)) is not None:
            await asyncio.wait({reading})

    def refresh(self) -> None:
        """Look for news in the log, and prove that what was read still stands."""
        self._follower.refresh()

    async def refreshed(self) -> None:
        """``refresh``, and return once it was done, or can't be."""
        await asyncio.wait({self._follower.refresh()})

    async def try_refresh(self) -> None:
        """``refresh``, and return once it was done, or the store did not answer."""
        await self._follower.try_refresh()

    def contradicted(self, reason: str) -> None:
        """The registry as a whole is not what it was."""
        self._feed(Contradicted(reason))

    def pods_changed(self, known: PodsKnown) -> None:
        """Pods have come, left or taken another's name."""
        self._feed(known)
        self.rollout.pods_changed(known)

    def controller_heard(self) -> None:
        """The controller of rollouts has said something about the model."""
        self.rollout.controller_heard()

    def check_owner(self) -> None:
        """Have it checked whether this worker still owns the model: it may have been suspended."""
        self._feed(OwnershipDoubted())
        self.rollout.check_owner()

    def owner_doubted(self) -> None:
        """The candidate's state object says something else than what is known of its owner."""
        self._feed(OwnershipDoubted())

    async def settle_loads(self) -> None:
        """Wait for the loads that are under way."""
        await super().settle_loads()
        await self.rollout.settle_loads()

    def cancel_fetches(self) -> None:
        """Ask every fetch to stop; what has arrived is kept and resumed later."""
        super().cancel_fetches()
        self.rollout.cancel_fetches()

    def end(self, reason: str) -> None:
        """Do nothing more from here on. Loads on their way are abandoned; pods and store fence what still arrives."""
        if not self._stopped:
            self._end(reason)

    async def stop(self, reason: str) -> None:
        """``end``, and return once nothing of it runs any more."""
        self.end(reason)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.rollout.stop(reason)

    def digests_kept(self) -> frozenset[str]:
        """Manifest digests that must stay on the disk: what is aspired, staged or served. Any thread may ask."""
        replica = self.replica
        kept = replica.digests_kept if replica is not None else frozenset()
        return kept | self.rollout.digests_kept()

    def _hold(self, on: bool) -> None:
        super()._hold(on)
        self.rollout.hold(on)

    def _report(self) -> None:
        assert self.replica is not None
        self._ports.reporter.changed(self.model, self.replica)

    def _stepped(self, event: Event) -> None:
        if not self._stopped and self.replica is not None:
            self._ports.reporter.unchanged(self.model, self.replica)
            self.rollout.follow(self.replica, event)

    # --- the log ---------------------------------------------------------------------------------------------

    def heard(self, event: Folded | Contradicted | Unreadable) -> None:
        """What came of a reading of the log."""
        self._feed(event)
        if isinstance(event, Folded):
            self._report_unread()

    def _report_unread(self) -> None:
        if self.replica is not None and self.replica.facts.unreadable != self.log_reader.unread:
            self._feed(Unreadable(self.log_reader.unread))

    @property
    def alarmed(self) -> bool:
        """Whether the log contradicts what the region had read of it, and is not obeyed."""
        return self.replica is not None and self.replica.facts.contradiction is not None

    # --- life and death -------------------------------------------------------------------------------------

    async def _begin(self, registry_id: str, takeover: Takeover) -> None:
        try:
            await self._take_over(registry_id, takeover)
        except Exception as error:
            self._log.exception("taking the model failed in an unforeseen way")
            self._give_up(f"{type(error).__name__}: {error}")

    def _give_up(self, reason: str) -> None:
        self._end(reason)
        self._on_replaced(self.model)

    async def _take_over(self, registry_id: str, takeover: Takeover) -> None:
        while True:
            match takeover.todo:
                case LookInLog():
                    await self.refreshed()
                    takeover = takeover.looked(self._follower.knows(1))
                case Pause(seconds):
                    await asyncio.sleep(seconds)
                    takeover = takeover.paused(self._follower.knows(1))
                case GiveUp(reason):
                    self.on_trial, self.unknown = False, True
                    self._give_up(reason)
                    return
                case ClaimModel():
                    self.on_trial = False
                    began = asyncio.get_running_loop().time()
                    try:
                        memory = await self._effects.claim(registry_id)
                    except Superseded as error:
                        self._give_up(str(error))
                        return
                    except ModelcastError as error:
                        takeover = takeover.claim_failed(error)
                        self._tell_of_claim(takeover, error)
                        continue
                    self._own(memory, began)
                    return

    def _tell_of_claim(self, takeover: Takeover, error: ModelcastError) -> None:
        metrics.ALARM.labels(self.model).set(int(takeover.stuck))
        if takeover.stuck or takeover.failures == 1:
            self._log.log(40 if takeover.stuck else 30, "the model can't be claimed", error=error)

    def _own(self, memory: Memory, proved_at: float) -> None:
        metrics.EPOCH.labels(self.model).set(memory.epoch)
        metrics.ALARM.labels(self.model).set(int(memory.contradiction is not None))
        self._log.info("owned", epoch=memory.epoch, accepted_generation=memory.accepted_generation)
        self.owned_at = asyncio.get_running_loop().time()
        self.replica = Replica.owning(
            memory, self._policy, proved_at=proved_at, owned_at=self.owned_at, holding=self._holding
        )
        self._feed(self._ports.pods_known())
        if (known := self.log_reader.log) is not None:
            self._feed(Folded(known, asked_at=self._follower.asked_at))
            self._report_unread()
        if self.log_reader.log is None or self.alarmed:
            self.refresh()

    def _end(self, reason: str) -> None:
        metrics.EPOCH.labels(self.model).set(0)
        metrics.ROLLOVER_STOPPED.labels(self.model).set(0)
        self._close()
        self._log.info("no longer owned", reason=reason)
        self.rollout.end(reason)
