"""One model of one region, driven: holds the ``Replica``, carries out what ``step`` says, feeds back what came of it.

Everything here runs on one event loop; what blocks runs on threads. A reconciler lives from the claim of the owner
epoch until it is replaced or stopped, and is never used again.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import structlog

from modelcast.agents.region.decider.policy import Policy
from modelcast.agents.region.decider.replica import Replica
from modelcast.agents.region.decider.step import step
from modelcast.agents.region.decider.values import (
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
from modelcast.agents.region.ownership.owned_state import Superseded
from modelcast.agents.region.shell.effects import EffectRunner, in_thread
from modelcast.agents.region.shell.ports import LogReader, RegionPorts, StateObject
from modelcast.consumers.pod_clients.port import LoadOrder
from modelcast.infra.telemetry import metrics
from modelcast.schemas.errors import ContentError, ForeignRegistry, ModelcastError
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.records import ModelUpdate

TICK_SECONDS_MIN = 0.02

log = structlog.get_logger(__name__)


class Reconciler:
    """Use ``start`` once, then ``announced``, ``refresh``, ``hold``, ``release``; ``stop`` ends it.

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
        self._reading: asyncio.Task[None] | None = None
        self._wanted = 0
        self._refresh_wanted = False
        self._whole_read_at = float("-inf")  # when the next whole reading of a log that is not obeyed may begin
        self._log_asked_at = float("-inf")  # when the reading began that the reader's log is from, or an earlier one
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False
        self._log = log.bind(model=model, region=ports.region)
        self._effects = EffectRunner(model, ports, state, self._log)

    # --- what others call ---------------------------------------------------------------------------------

    def start(self, registry_id: str, *, known_to_exist: bool) -> None:
        """Claim the model (for as long as it takes), then read its log and its pods and do what they ask for.

        A model that was only announced is not claimed before its log holds an entry.
        """
        self.on_trial = not known_to_exist
        self._spawn(self._begin(registry_id, known_to_exist))

    @property
    def stopped(self) -> bool:
        """Whether it is over."""
        return self._stopped

    def knows(self, generation: int) -> bool:
        """Whether the log was read that far."""
        return self.log_reader.log is not None and self.log_reader.log.head >= generation

    def wake(self, generation: int) -> None:
        """Read the log up to ``generation`` and act on it."""
        self._wanted = max(self._wanted, generation)
        if not self.knows(generation):
            self._read_log()

    async def announced(self, generation: int) -> None:
        """``wake``, and return once the log was read, or can't be."""
        self._wanted = max(self._wanted, generation)
        if not self.knows(generation):
            await asyncio.wait({self._read_log()})

    def refresh(self) -> None:
        """Look for news in the log, and prove that what was read still stands."""
        self._refresh_wanted = True
        self._read_log()

    async def refreshed(self) -> None:
        """``refresh``, and return once it was done, or can't be."""
        self._refresh_wanted = True
        await asyncio.wait({self._read_log()})

    def contradicted(self, reason: str) -> None:
        """The registry as a whole is not what it was."""
        self._feed(Contradicted(reason))

    def pods_changed(self, known: PodsKnown) -> None:
        """Pods have come, left or taken another's name."""
        self._feed(known)

    def check_owner(self) -> None:
        """Find out whether the model is still ours (we may have slept)."""
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

    async def stop(self, reason: str) -> None:
        """Do nothing more. Loads on their way are abandoned; pods and store fence what still arrives."""
        if not self._stopped:
            self._end(reason)
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
                self._spawn(self._carry_out(effect))

    def _begin_load(self, load: Load, pod: str) -> None:
        """Take the pod's turn before anyone else decides."""
        assert self.replica is not None
        view, turns = self.replica.pods.get(pod), self._ports.turns
        gapless = view is None or view.reading is None or view.reading.gapless
        other = turns.begin(pod, self.model, lambda: self._feed(PodFree(pod)), gapless=gapless)
        if other:
            self._spawn(self._feed_later(PodBusy(pod, other)))
        else:
            self._spawn(self._carry_out(load)).add_done_callback(lambda _: turns.end(pod))

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

    def _read_log(self) -> asyncio.Task[None]:
        if self._reading is None or self._reading.done():
            self._reading = self._spawn(self._read_on())
        return self._reading

    async def _read_on(self) -> None:
        """Read until what is wanted was read, however long the store is away."""
        failures = 0
        while not self._stopped:
            until, refresh, whole = self._wanted, self._refresh_wanted, self.alarmed or self.log_reader.log is None
            self._refresh_wanted = False
            if whole and self.alarmed:
                await self._wait_for_a_whole_read()
            asks = whole or refresh or not self.knows(until)
            asked_at = asyncio.get_running_loop().time() if asks else self._log_asked_at
            try:
                known = await in_thread(self._ports.log_reads, partial(self._read, until, refresh, whole))
            except ForeignRegistry as error:
                self._log.error("the store contradicts what this region obeys: the model is stopped", error=error)
                self._feed(Contradicted(str(error)))
                return
            except ModelcastError as error:
                if not error.retryable:
                    self._feed(Unreadable(str(error)))
                    return
                if failures == 0:
                    self._log.warning("the log can't be read now", error=error)
                failures += 1
                self._refresh_wanted |= refresh
                await asyncio.sleep(self._policy.store_pause(failures))
                continue
            self._log_asked_at = asked_at
            self._feed(Folded(known, whole, asked_at))
            self._report_unread()
            if self._wanted <= until and not self._refresh_wanted:
                return

    async def _wait_for_a_whole_read(self) -> None:
        """Announcements may come in any number, and each asks for the log."""
        now = asyncio.get_running_loop().time()
        due = max(now, self._whole_read_at)
        self._whole_read_at = due + self._policy.whole_read_pause
        await asyncio.sleep(due - now)

    def _report_unread(self) -> None:
        if self.replica is not None and self.replica.facts.unreadable != self.log_reader.unread:
            self._feed(Unreadable(self.log_reader.unread))

    @property
    def alarmed(self) -> bool:
        """Whether the log contradicts what the region had read of it, and is not obeyed."""
        return self.replica is not None and self.replica.facts.contradiction is not None

    def _read(self, until: int, refresh: bool, whole: bool) -> ModelLog:
        if whole:
            return self.log_reader.refold()
        return self.log_reader.refresh() if refresh else self.log_reader.read(until)

    # --- life and death -------------------------------------------------------------------------------------

    async def _begin(self, registry_id: str, known_to_exist: bool) -> None:
        try:
            await self._take_over(registry_id, known_to_exist)
        except Exception as error:
            self._log.exception("taking the model failed in an unforeseen way")
            self._give_up(f"{type(error).__name__}: {error}")

    def _give_up(self, reason: str) -> None:
        self._end(reason)
        self._on_replaced(self.model)

    async def _take_over(self, registry_id: str, known_to_exist: bool) -> None:
        for pause in self._policy.store_pauses:
            if known_to_exist:
                break
            await self.refreshed()
            known_to_exist = self.knows(1)
            if not known_to_exist:
                await asyncio.sleep(pause)
                known_to_exist = self.knows(1)  # it may have been announced, and read, meanwhile
        self.on_trial = False
        if not known_to_exist:
            self.unknown = True
            self._give_up("the registry does not know it")
            return
        failures, policy = 0, self._policy
        while True:
            began = asyncio.get_running_loop().time()
            try:
                memory = await self._effects.claim(registry_id)
                break
            except Superseded as error:
                self._give_up(str(error))
                return
            except ModelcastError as error:
                stuck = isinstance(error, ContentError)
                metrics.ALARM.labels(self.model).set(int(stuck))
                if stuck or failures == 0:
                    self._log.log(40 if stuck else 30, "the model can't be claimed", error=error)
                failures += 1
                await asyncio.sleep(policy.damaged_state_pause if stuck else policy.store_pause(failures))
        metrics.EPOCH.labels(self.model).set(memory.epoch)
        metrics.ALARM.labels(self.model).set(int(memory.contradiction is not None))
        self._log.info("owned", epoch=memory.epoch, accepted_generation=memory.accepted_generation)
        self.owned_at = asyncio.get_running_loop().time()
        self.replica = Replica.owning(memory, policy, proved_at=began, owned_at=self.owned_at, holding=self._holding)
        self._feed(self._ports.pods_known())
        if (known := self.log_reader.log) is not None:
            self._feed(Folded(known, asked_at=self._log_asked_at))
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

    def _spawn(self, doing: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(doing)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("a task of the reconciler failed", error=error)
