"""One model of one region, driven: holds the ``Replica``, carries out what ``step`` says, feeds back what came of it.

Everything here runs on one event loop; what blocks runs on threads. A reconciler lives from the claim of the owner
epoch until it is replaced or stopped, and is never used again.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from modelcast.agents.region.decider.events_and_effects import (
    CancelFetch,
    CheckOwner,
    Contradicted,
    Effect,
    Event,
    Fetch,
    Folded,
    Holding,
    Load,
    OwnershipDoubted,
    PodBusy,
    PodFree,
    PodsKnown,
    PodsOut,
    Read,
    Refold,
    Report,
    Save,
    Tick,
    Unreadable,
)
from modelcast.agents.region.decider.memory import Memory
from modelcast.agents.region.decider.policy import Policy
from modelcast.agents.region.decider.replica import Replica
from modelcast.agents.region.decider.step import step
from modelcast.agents.region.decider.takeover import ClaimModel, GiveUp, LookInLog, Pause, Takeover
from modelcast.agents.region.ownership.owned_state import Superseded
from modelcast.agents.region.shell.effects import EffectRunner
from modelcast.agents.region.shell.log_follower import LogFollower
from modelcast.agents.region.shell.ports import LogReader, RegionPorts, StateObject
from modelcast.consumers.pod_clients.port import LoadOrder
from modelcast.infra.telemetry import metrics
from modelcast.schemas.errors import ModelcastError
from modelcast.schemas.records import ModelUpdate

TICK_SECONDS_MIN = 0.02

log = structlog.get_logger(__name__)


class Reconciler:
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
        self.model = model
        self.log_reader = log_reader
        self.replica: Replica | None = None
        self.unknown = False  # it was only spoken of: the registry holds nothing
        self.on_trial = False  # it was only announced: whether it exists is not known yet
        self.owned_at = float("inf")  # when (event loop's time) the claim stood
        self._ports = ports
        self._policy = policy
        self._on_replaced = on_replaced
        self._holding = False  # until there is a replica that knows it
        self._tasks: set[asyncio.Task[None]] = set()
        self._loads: set[asyncio.Task[None]] = set()
        self._out: dict[str, str] = {}  # pods that were told to be out of traffic for another model
        self._cancels: dict[str, threading.Event] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False
        self._log = log.bind(model=model, region=ports.region)
        self._follower = LogFollower(log_reader, ports.log_reads, policy, self, self._log)
        self._effects = EffectRunner(model, ports, state, self._log)

    # --- what others call ---------------------------------------------------------------------------------

    def start(self, registry_id: str, *, known_to_exist: bool) -> None:
        """Claim the model (for as long as it takes), then read its log and its pods and do what they ask for.

        A model that was only announced is not claimed before its log holds an entry.
        """
        self.on_trial = not known_to_exist
        self.spawn(self._begin(registry_id, Takeover.of(self._policy, known=known_to_exist)))

    @property
    def stopped(self) -> bool:
        """Whether it is over."""
        return self._stopped

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

    def check_owner(self) -> None:
        """Have it checked whether this worker still owns the model: it may have been suspended."""
        self._feed(OwnershipDoubted())

    def hold(self) -> None:
        """Begin no fetch and no load until ``release``."""
        self._hold(True)

    def release(self) -> None:
        """Go on."""
        self._hold(False)

    async def settle_loads(self) -> None:
        """Wait for the loads that are under way."""
        while self._loads:
            await asyncio.wait(self._loads)

    def cancel_fetches(self) -> None:
        """Ask every fetch to stop; what has arrived is kept and resumed later."""
        for cancel in self._cancels.values():
            cancel.set()

    def _hold(self, on: bool) -> None:
        self._holding = on
        self._feed(Holding(on))

    def end(self, reason: str) -> None:
        """Do nothing more from here on. Loads on their way are abandoned; pods and store fence what still arrives."""
        if not self._stopped:
            self._end(reason)

    async def stop(self, reason: str) -> None:
        """``end``, and return once nothing of it runs any more."""
        self.end(reason)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- events in, effects out -----------------------------------------------------------------------------

    def _feed(self, event: Event) -> None:
        if self._stopped or self.replica is None:
            return
        out = self._ports.turns.out_for_others(self.model)
        if out != self._out:
            self._out = out
            self._step(self.replica, PodsOut(out))
            if self.stopped:
                return
        if out:
            self._ports.turns.watch(self.model, lambda: self._feed(Tick()))
        self._step(self.replica, event)

    def _step(self, before: Replica, event: Event) -> None:
        now = asyncio.get_running_loop().time()
        self.replica, effects = step(before, event, now)
        self._ports.observer.stepped(before, event, self.replica, effects)
        if self.replica.facts.replaced:
            self._give_up(self.replica.facts.replaced)
            return
        for effect in effects:
            self._do(effect)
        self._set_timer(now)

    def _do(self, effect: Effect) -> None:
        match effect:
            case CancelFetch(digest):
                self._cancels.setdefault(digest, threading.Event()).set()
            case Report():
                assert self.replica is not None
                self._ports.reporter.changed(self.model, self.replica)
            case Refold():
                self.refresh()
            case Load(pod):
                self._begin_load(effect, pod)
            case Fetch() | Read() | Save() | CheckOwner():
                self.spawn(self._carry_out(effect))

    def _begin_load(self, load: Load, pod: str) -> None:
        """Take the pod's turn before anyone else decides."""
        assert self.replica is not None
        view, turns = self.replica.pods.get(pod), self._ports.turns
        gapless = view is None or view.reading is None or view.reading.gapless
        other = turns.begin(pod, self.model, lambda: self._feed(PodFree(pod)), gapless=gapless)
        if other:
            self.spawn(self._feed_later(PodBusy(pod, other)))
        else:
            self.spawn(self._carry_out(load)).add_done_callback(lambda _: turns.end(pod))

    async def _feed_later(self, event: Event) -> None:
        self._feed(event)

    async def _carry_out(self, effect: Fetch | Load | Read | Save | CheckOwner) -> None:
        event: Event | None
        match effect:
            case Fetch(update):
                event = await self._fetch(update)
            case Load(pod, order):
                event = await self._load(pod, order)
            case Read(pod):
                event = await self._effects.read(pod)
            case Save(memory):
                event = await self._effects.save(memory)
            case CheckOwner(epoch_seen):
                event = await self._effects.check(epoch_seen)
        if event is not None:
            self._feed(event)

    async def _fetch(self, update: ModelUpdate) -> Event:
        digest = update.artifact.manifest_digest
        cancel = self._cancels.setdefault(digest, threading.Event())  # it may have been cancelled before it began
        try:
            return await self._effects.fetch(update, cancel, self._feed)
        finally:
            self._cancels.pop(digest, None)

    async def _load(self, pod: str, order: LoadOrder) -> Event | None:
        task = asyncio.current_task()
        assert task is not None
        self._loads.add(task)
        try:
            return await self._effects.load(pod, order)
        finally:
            self._loads.discard(task)

    def _set_timer(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        assert self.replica is not None
        at = self.replica.wakes_at(now)
        if at == float("inf") or self._stopped:
            self._timer = None
            return
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(max(at, now + TICK_SECONDS_MIN), self._feed, Tick())

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
        self._stopped = True
        metrics.EPOCH.labels(self.model).set(0)
        metrics.ROLLOVER_STOPPED.labels(self.model).set(0)
        if self._timer is not None:
            self._timer.cancel()
        self.cancel_fetches()
        current = asyncio.current_task()
        for task in self._tasks:
            if task is not current:
                task.cancel()
        self._log.info("no longer owned", reason=reason)

    def spawn(self, doing: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do it beside everything else; it is cancelled when the reconciler ends."""
        task = asyncio.get_running_loop().create_task(doing)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("a task of the reconciler failed", error=error)
