"""Steps one replica: events go into its decider, effects are carried out, and their outcomes come back as events."""

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from typing import Any

from structlog.typing import FilteringBoundLogger

from modelcast.agents.region.decider.events_and_effects import (
    CancelFetch,
    CheckOwner,
    Effect,
    Event,
    Fetch,
    Holding,
    Load,
    PodBusy,
    PodFree,
    PodsOut,
    Read,
    Refold,
    Report,
    Save,
    Tick,
    Unload,
)
from modelcast.agents.region.decider.replica import Replica
from modelcast.agents.region.decider.step import step
from modelcast.agents.region.reporting.step_observer import StepObserver
from modelcast.agents.region.shell.effects import EffectRunner
from modelcast.agents.region.shell.ports import RegionPorts
from modelcast.consumers.pod_clients.port import LoadOrder, lane_place
from modelcast.schemas.records import ModelUpdate

TICK_SECONDS_MIN = 0.02


class ReplicaShell(ABC):
    """What the replica of what serves and that of a candidate have in common. It belongs to one event loop.

    Args:
        model: which one.
        ports: what all of this worker's reconcilers share.
        effects: carries them out.
        observer: sees each step.
        log: where what goes wrong is written.
        lane: see ``LoadOrder``.
    """

    def __init__(
        self,
        model: str,
        ports: RegionPorts,
        effects: EffectRunner,
        observer: StepObserver,
        log: FilteringBoundLogger,
        lane: str = "",
    ) -> None:
        self.model = model
        self.replica: Replica | None = None
        self._lane = lane
        self._place = lane_place(model, lane)
        self._ports = ports
        self._effects = effects
        self._observer = observer
        self._log = log
        self._holding = False  # until there is a replica that knows it
        self._tasks: set[asyncio.Task[None]] = set()
        self._loads: set[asyncio.Task[None]] = set()
        self._out: dict[str, str] = {}  # pods that were told to be out of traffic for another model
        self._cancels: dict[str, threading.Event] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False

    @property
    def stopped(self) -> bool:
        """Whether it is over."""
        return self._stopped

    @property
    def busy(self) -> bool:
        """Whether anything of it runs."""
        return bool(self._tasks)

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

    # --- what depends on whose replica it is ----------------------------------------------------------------

    @abstractmethod
    def refresh(self) -> None:
        """Look for news in the log, and prove that what was read still stands."""

    @abstractmethod
    def _report(self) -> None:
        """What people can see has changed."""

    @abstractmethod
    def _give_up(self, reason: str) -> None:
        """Another worker owns the model."""

    @abstractmethod
    def _stepped(self, event: Event) -> None:
        """A step was taken, and its effects have begun."""

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
            self._ports.turns.watch(self._place, lambda: self._feed(Tick()))
        self._step(self.replica, event)

    def _step(self, before: Replica, event: Event) -> None:
        now = asyncio.get_running_loop().time()
        self.replica, effects = step(before, event, now)
        self._observer.stepped(before, event, self.replica, effects)
        if self.replica.facts.replaced:
            self._give_up(self.replica.facts.replaced)
            return
        for effect in effects:
            self._do(effect)
        self._set_timer(now)
        self._stepped(event)

    def _do(self, effect: Effect) -> None:
        match effect:
            case CancelFetch(digest):
                self._cancels.setdefault(digest, threading.Event()).set()
            case Report():
                self._report()
            case Refold():
                self.refresh()
            case Load(pod):
                self._begin_load(effect, pod)
            case Fetch() | Unload() | Read() | Save() | CheckOwner():
                self.spawn(self._carry_out(effect))

    def _begin_load(self, load: Load, pod: str) -> None:
        """Take the pod's turn before anyone else decides."""
        assert self.replica is not None
        view, turns = self.replica.pods.get(pod), self._ports.turns
        gapless = view is None or view.reading is None or view.reading.gapless
        other = turns.begin(pod, self.model, lambda: self._feed(PodFree(pod)), gapless=gapless, lane=self._lane)
        if other:
            self.spawn(self._feed_later(PodBusy(pod, other)))
        else:
            self.spawn(self._carry_out(load)).add_done_callback(lambda _: turns.end(pod, lane=self._lane))

    async def _feed_later(self, event: Event) -> None:
        self._feed(event)

    async def _carry_out(self, effect: Fetch | Load | Unload | Read | Save | CheckOwner) -> None:
        event: Event | None
        match effect:
            case Fetch(update):
                event = await self._fetch(update)
            case Load(pod, order):
                event = await self._load(pod, order)
            case Unload():
                event = await self._effects.unload(effect)
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

    # --- the end ----------------------------------------------------------------------------------------------

    def _close(self) -> None:
        """Begin nothing more, and ask for the end of what is under way."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        self.cancel_fetches()
        current = asyncio.current_task()
        for task in self._tasks:
            if task is not current:
                task.cancel()

    def spawn(self, doing: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do it beside everything else; it is cancelled at the end."""
        task = asyncio.get_running_loop().create_task(doing)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("a task of the reconciler failed", error=error)
