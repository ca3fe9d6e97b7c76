"""Brings versions up, keeps them up and lets go of them: what a pod does with orders that it has admitted."""

import asyncio
import time
from collections.abc import Coroutine
from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import Any, Protocol

import structlog

from modelcast.consumers.pod.engine import Engine, LanedEngine, RemoteEngine, Served
from modelcast.consumers.pod.failures import as_load_failed, failure_message
from modelcast.consumers.pod.slot import Serving, Slot, loads_alone
from modelcast.consumers.pod.uninterrupted import uninterrupted
from modelcast.consumers.pod_clients.port import CANDIDATE, LANES, LoadFailed, LoadOrder, PodUnreachable, lane_place
from modelcast.infra.telemetry.metrics import PodMetrics
from modelcast.schemas.errors import ModelcastError

log = structlog.get_logger("modelcast.pod")


class LaneListener(Protocol):
    """Who hears what becomes of a model's lanes. Called on the event loop."""

    def control_changed(self, order: LoadOrder, before: LoadOrder | None) -> None:
        """The control serves other bytes now, by ``order``; by ``before`` until then, None: nothing since the start."""
        ...

    def candidate_lost(self, serving: Serving) -> None:
        """The candidate's worker has died."""
        ...


class Supervisor:
    """What serves in each lane of each model. All methods run on the event loop's thread.

    Attributes:
        slots: by ``lane_place``; a model's control stands under its name.
        changed: set, and replaced by a new one, whenever an order was carried out.
        lane_listener: see there; None: nobody listens.
    """

    def __init__(self, engine: Engine, metrics: PodMetrics, *, grace_seconds: float) -> None:
        self.slots: dict[str, Slot] = {}
        self.changed = asyncio.Event()
        self.lane_listener: LaneListener | None = None
        self.kind, self.gapless = engine.capabilities.kind, engine.capabilities.gapless
        self.watches = engine.capabilities.watch_seconds is not None
        self._laned = engine if isinstance(engine, LanedEngine) else None
        self._remote = engine if isinstance(engine, RemoteEngine) else None
        # Why a server that serves nothing can't be said to be there.
        self._unreached = "its server has not answered yet" if self._remote else ""
        self._swapping = 0  # swaps under way in which the server may fail requests
        # By lane, held by the slot whose version is loaded: no control waits for a candidate whose load hangs.
        self._turns = {lane: asyncio.Lock() for lane in LANES}
        self._grace_seconds = grace_seconds
        self._engine = engine
        self._watch_seconds = engine.capabilities.watch_seconds
        self._metrics = metrics
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def lanes(self) -> bool:
        """Whether a candidate can be held beside the control."""
        return self._laned is not None

    @property
    def trouble(self) -> str:
        """Why no traffic should come now; "": none.

        One lost model is enough, whatever else serves: a balancer sends a ready pod requests for all of its models,
        and Triton, MLServer and KServe mean the same by it. A pod of many models so leaves for one that keeps crashing,
        not for one that is back before the next health check; who routes by model asks for the readiness of each. A
        candidate that is lost keeps no traffic away: the control answers.
        """
        if self._swapping:
            return "a version is being swapped in"
        controls = (slot for slot in self.slots.values() if not slot.lane)
        trouble = next((trouble for slot in controls if (trouble := slot.trouble)), "")
        return trouble or ("" if self._serves_any else self._unreached)

    @property
    def _serves_any(self) -> bool:
        return any(slot.serving is not None for slot in self.slots.values())

    def slot(self, model: str, lane: str = "") -> Slot:
        """The place of a model's lane, added if there is none. Both lanes of a model are admitted to in turn."""
        found = self.slots.get(lane_place(model, lane))
        if found is None:
            admission = self.slot(model).admission if lane else asyncio.Lock()
            found = self.slots[lane_place(model, lane)] = Slot(model, lane, admission)
        return found

    async def start(self) -> None:
        """Start the engine. Raises ``LoadFailed``: it can't be now, and a load would meet the same trouble."""
        if self._watch_seconds is not None:
            self.spawn(self._watch(self._watch_seconds))
        await self._engine.start(self)

    async def close(self) -> None:
        """End the engine. Requests in flight should have been answered."""
        self._closed = True
        for slot in self.slots.values():
            await self.stop(slot)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._engine.aclose()

    # --- carrying out orders ---

    def bring_up(self, slot: Slot, order: LoadOrder, *, delay: float = 0.0) -> "asyncio.Task[None]":
        """Have the engine load and swap after ``delay`` seconds. The task raises ``LoadFailed``."""
        task = self.spawn(self._bring_up(slot, order, delay))
        slot.bringing_up, slot.bringing_up_order = task, order
        task.add_done_callback(lambda done: self._brought_up(slot, done))
        return task

    async def stop(self, slot: Slot) -> None:
        """End what is being done in the slot. Waits for it: a server that was told to load can't be stopped."""
        tasks = [task for task in (slot.bringing_up, slot.retiring) if task is not None]
        slot.bringing_up_order = slot.retiring = None
        if not tasks:
            return
        slot.stopping = True
        try:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        finally:
            slot.stopping = False

    def adopt(self, slot: Slot, serving: Serving, order: LoadOrder) -> None:
        """Serve what serves by a newer order."""
        slot.serving = replace(serving, order=order)
        slot.aspired = order
        slot.reason = ""
        self.reached(slot, order.generation)
        if not slot.lane:
            self._metrics.generation.labels(order.model).set(order.generation)
        self._metrics.loads.labels(order.model, "adopted").inc()

    def exchange(self, order: LoadOrder, kept: LoadOrder | None) -> None:
        """Serve as control, by ``order``, what the candidate lane serves; the old control goes on there as ``kept``.

        One step of the event loop: no request meets the model without a control.
        """
        assert self._laned is not None
        control, candidate = self.slot(order.model), self.slot(order.model, CANDIDATE)
        old, new = control.serving, candidate.serving
        assert new is not None
        self._laned.exchange(control.place, candidate.place)
        before = control.aspired
        control.serving = replace(new, order=order)
        candidate.serving = replace(old, order=kept) if old is not None and kept is not None else None
        control.aspired, candidate.aspired = order, kept
        control.failures, candidate.failures = candidate.failures, control.failures
        control.reason = candidate.reason = ""
        control.doubt, candidate.doubt = candidate.doubt, control.doubt
        self._metrics.generation.labels(order.model).set(order.generation)
        self._metrics.loads.labels(order.model, "promoted").inc()
        self.reached(control, order.generation)
        self._report_control(control, before)
        log.info("promoted", model=order.model, version=order.version, generation=order.generation, epoch=order.epoch)
        if candidate.serving is None:
            self._respawn(candidate)

    async def empty(self, slot: Slot, generation: int) -> None:
        """Serve nothing there any more; requests in flight are answered.

        Raises:
            LoadFailed: the engine's server does not let go. Unless it never will, it is told again with back-off.
        """
        old, slot.serving, slot.aspired = slot.serving, None, None
        self.reached(slot, generation)
        if old is not None:
            self._metrics.active.labels(slot.model, str(old.order.version)).set(0)
        try:
            await self._retire(slot)
        except LoadFailed as error:
            if error.code != "unsupported":
                slot.failures = 1
                slot.retiring = self.spawn(self._retire_later(slot))
            raise

    def goes_on(self, slot: Slot, serving: Serving) -> None:
        """What an engine that outlived this process serves still, by an order of before."""
        slot.serving, slot.aspired = serving, serving.order
        self.reached(slot, serving.order.generation)
        self._count_active(serving.order, None)
        log.info("still serving", model=slot.place, version=serving.order.version, generation=serving.order.generation)

    def reached(self, slot: Slot, generation: int) -> None:
        """An order of that generation was carried out."""
        if not slot.unconfirmed:
            slot.reached = generation
        self.changed.set()
        self.changed = asyncio.Event()

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Run it until it ends, or the supervisor is closed."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_note_failure)
        return task

    # --- asking ---

    async def confirmed(self, slot: Slot) -> Serving | None:
        """What serves, as the engine answers now; None: nothing, or not what was ordered.

        Raises:
            PodUnreachable: its server does not answer, or nothing that can be read.
        """
        serving = slot.serving
        if serving is None or self._watch_seconds is None:
            return serving
        try:
            served = await self.ask(slot)
        except PodUnreachable as error:
            self._doubt(str(error))
            raise
        if slot.serving is not serving:
            return None  # swapped while we asked
        if served is not None and served.holds(serving.order):
            slot.doubt = ""
            return serving
        if not slot.busy:
            found = f"serves version {served.version}" if served else "serves nothing that it can name"
            self._lost(slot, f"its server {found}, not {serving.order.version}")
            self._doubt(f"its server has lost {slot.model}, perhaps more")
        return None

    async def ask(self, slot: Slot) -> Served | None:
        """``Engine.serving``. Whatever goes wrong with it is the server's, or its engine's: ``PodUnreachable``."""
        try:
            return await self._engine.serving(slot.place)
        except PodUnreachable:
            raise
        except Exception as error:
            message = f"its answer can't be read: {failure_message(error)}"
            raise PodUnreachable(message, subject=slot.model) from error

    def _doubt(self, why: str) -> None:
        """One server holds all models: what one of them shows may be true of each, until it is asked."""
        for slot in self.slots.values():
            if slot.serving is not None:
                slot.doubt = why

    # --- bringing up ---

    def _brought_up(self, slot: Slot, task: "asyncio.Task[None]") -> None:
        if slot.bringing_up is task:
            slot.bringing_up = slot.bringing_up_order = None
            if slot.serving is None and not slot.stopping and not self._closed:
                self._respawn(slot)  # it failed while the old one was lost, or was lost at once itself

    async def _bring_up(self, slot: Slot, order: LoadOrder, delay: float) -> None:
        await asyncio.sleep(delay)
        started = time.monotonic()
        logger = log.bind(model=order.place, version=order.version, generation=order.generation, epoch=order.epoch)
        alone = loads_alone(slot, self.slots.values(), self._engine.capabilities)
        try:
            async with self._turns[slot.lane] if alone else nullcontext():
                await self._engine.prepare(order)
                served = await self._swap(order)
        except Exception as error:
            failed = as_load_failed(error)
            slot.reason = f"version {order.version}: {failed.message}"
            unforeseen = None if isinstance(error, ModelcastError) else error
            hint = {"hint": failed.hint} if failed.hint else {}
            logger.error("load failed", code=failed.code, error=failed.message, **hint, exc_info=unforeseen)
            raise failed from None
        # From here to the end nothing waits: who sees the engine's new version sees whose order it is.
        old = slot.serving
        if order != slot.aspired:
            slot.failures = 0
        before = slot.aspired
        slot.serving = Serving(order, served, time.monotonic())
        slot.aspired, slot.reason, slot.doubt = order, "", ""
        self.reached(slot, order.generation)
        self._report_control(slot, before)
        seconds = {**served.seconds, "total": time.monotonic() - started}
        self._count_active(order, old)
        self._metrics.loads.labels(order.model, "loaded").inc()
        for stage, value in seconds.items():
            self._metrics.load_seconds.labels(stage).observe(value)
        logger.info("serving", **{f"{stage}_seconds": round(s, 4) for stage, s in seconds.items()})

    def _report_control(self, slot: Slot, before: LoadOrder | None) -> None:
        order, listener = slot.aspired, self.lane_listener
        if slot.lane or order is None or listener is None:
            return
        if before is None or before.manifest_digest != order.manifest_digest:
            listener.control_changed(order, before)

    async def _swap(self, order: LoadOrder) -> Served:
        if self.gapless:
            return await self._engine.swap(order)
        self._swapping += 1
        try:
            await asyncio.sleep(self._grace_seconds)  # balancers learn from /readyz
            return await self._engine.swap(order)
        finally:
            self._swapping -= 1

    def _count_active(self, order: LoadOrder, old: Serving | None) -> None:
        if old is not None:
            self._metrics.active.labels(order.model, str(old.order.version)).set(0)
        self._metrics.active.labels(order.model, str(order.version)).set(1)
        if not order.lane:
            self._metrics.generation.labels(order.model).set(order.generation)

    # --- what is lost ---

    def lost(self, place: str, why: str) -> None:
        """See ``LossListener``."""
        slot = self.slots.get(place)
        if slot is not None:
            self._lost(slot, why)

    def _lost(self, slot: Slot, why: str) -> None:
        serving = slot.serving
        if self._closed or serving is None:
            return
        slot.lost(why, time.monotonic())
        if slot.lane and self.lane_listener is not None:
            self.lane_listener.candidate_lost(serving)
        self._metrics.crashes.labels(slot.model).inc()
        self._metrics.active.labels(slot.model, str(serving.order.version)).set(0)
        log.error("no longer serving", model=slot.place, version=serving.order.version, why=why, failures=slot.failures)
        if not slot.busy:
            self._respawn(slot)

    def _respawn(self, slot: Slot) -> None:
        if slot.aspired is not None:
            self.bring_up(slot, slot.aspired, delay=slot.respawn_seconds())

    async def _watch(self, seconds: float) -> None:
        """Ask the server every ``seconds``: it may have restarted, or another client had it load something."""
        while True:
            await self._reach_server()
            await asyncio.sleep(seconds)
            for slot in list(self.slots.values()):
                try:
                    await self.confirmed(slot)
                except PodUnreachable as error:  # the others are asked all the same: it may concern this model alone
                    log.warning("the server does not answer", model=slot.model, error=str(error))

    async def _reach_server(self) -> None:
        """A server that serves nothing yet is away unnoticed otherwise: its pod would be ready, and fail requests."""
        if self._remote is None or self._serves_any:
            return
        before = self._unreached
        try:
            await self._remote.reach_server()
            self._unreached = ""
        except ModelcastError as error:
            self._unreached = str(error)
        except Exception as error:
            self._unreached = failure_message(error)
        if self._unreached != before:
            log.info("server", answers=not self._unreached, **({"why": self._unreached} if self._unreached else {}))

    async def _retire(self, slot: Slot) -> None:
        try:
            await uninterrupted(asyncio.ensure_future(self._engine.retire(slot.place)))
        except Exception as error:
            failed = as_load_failed(error)
            slot.reason = f"not unloaded: {failed.message}"
            log.warning("not unloaded", model=slot.place, error=str(failed))
            raise failed from None
        slot.reason = "unloaded"

    async def _retire_later(self, slot: Slot) -> None:
        """Until it is let go of: else it would be served on, and no one would watch it."""
        while True:
            await asyncio.sleep(slot.respawn_seconds())
            with suppress(LoadFailed):
                await self._retire(slot)
                return


def _note_failure(task: "asyncio.Task[None]") -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, ModelcastError):
        log.error("task failed", exc_info=error)
