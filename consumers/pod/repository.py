"""The models of one pod: admits orders, has its engine load and swap, and puts back what was lost."""

import asyncio
import time
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import Any

import structlog

from modelcast.consumers.pod.admission.fence import Accepted, Admission, admission_of, check_pair
from modelcast.consumers.pod.engine import Engine, Served
from modelcast.consumers.pod.failures import as_load_failed, failure_message
from modelcast.consumers.pod.ledger import Ledger
from modelcast.consumers.pod.slot import Serving, Slot
from modelcast.consumers.pod.uninterrupted import uninterrupted
from modelcast.consumers.pod_clients.port import LoadFailed, LoadOrder, PodRefused, PodUnreachable
from modelcast.infra.telemetry.metrics import PodMetrics
from modelcast.schemas.errors import ModelcastError

log = structlog.get_logger("modelcast.pod")


class Repository:
    """V2's model repository. All methods run on the event loop's thread."""

    def __init__(self, engine: Engine, ledger: Ledger, metrics: PodMetrics, *, grace_seconds: float) -> None:
        self.slots: dict[str, Slot] = {}
        self.changed = asyncio.Event()  # set, and replaced by a new one, whenever an order was carried out
        self._swapping = 0  # swaps under way in which the server may fail requests
        self._turn = asyncio.Lock()  # held by a model whose swap takes the whole server
        self._grace_seconds = grace_seconds
        self._engine = engine
        self.kind, self.gapless = engine.capabilities.kind, engine.capabilities.gapless
        self._watch_seconds = engine.capabilities.watch_seconds
        self._ledger = ledger
        self._metrics = metrics
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def trouble(self) -> str:
        """Why no traffic should come now; "": none.

        One lost model is enough, whatever else serves: a balancer sends a ready pod requests for all of its models,
        and Triton, MLServer and KServe mean the same by it. A pod of many models so leaves for one that keeps crashing,
        not for one that is back before the next health check; who routes by model asks for the readiness of each.
        """
        if self._swapping:
            return "a version is being swapped in"
        return next((trouble for slot in self.slots.values() if (trouble := slot.trouble)), "")

    async def start(self) -> None:
        """Start the engine. Raises ``LoadFailed``: it can't be now, and a load would meet the same trouble."""
        if self._watch_seconds is not None:
            self._spawn(self._watch(self._watch_seconds))
        await self._engine.start(self)

    async def load(self, order: LoadOrder) -> None:
        """Obey an order; return when its version serves.

        Raises:
            PodRefused: see ``fence.admission_of``; ``superseded`` if a higher order arrived meanwhile.
            LoadFailed: it can't be loaded; what served before still does.
        """
        slot = self.slots.setdefault(order.model, Slot(order.model))
        try:
            task = await self._admit(slot, order)
            if task is not None:
                await self._finish(slot, order, task)
        except (PodRefused, LoadFailed) as error:
            self._metrics.loads.labels(order.model, error.code).inc()
            raise

    async def _admit(self, slot: Slot, order: LoadOrder) -> "asyncio.Task[None] | None":
        async with slot.admission:
            accepted = self._ledger.entries.get(order.model)
            verdict = admission_of(order, accepted, slot.serving.order if slot.serving else None)
            running = slot.bringing_up
            if running is not None and slot.brings_up(order):
                return running  # asked twice: one load, both callers wait for it
            served = order if verdict is Admission.ADOPT else accepted.served if accepted else None
            promise = Accepted(order.registry_id, order.epoch, order.generation, order.manifest_digest, served)
            if promise != accepted:
                await self._record(order.model, promise)
            await self._stop(slot)
            serving = slot.serving  # it may have been lost while we wrote, or waited
            if verdict is Admission.LOAD or serving is None:
                return self._bring_up_in_task(slot, order, delay=0.0)
            if verdict is Admission.ADOPT:
                slot.serving = replace(serving, order=order)
                slot.aspired = order
                slot.reason = ""
                self._reached(slot, order.generation)
                self._metrics.generation.labels(order.model).set(order.generation)
                self._metrics.loads.labels(order.model, "adopted").inc()
            return None

    async def _finish(self, slot: Slot, order: LoadOrder, task: "asyncio.Task[None]") -> None:
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.cancelled():
                raise
            raise PodRefused("a newer order arrived", code="superseded", subject=order.model) from None
        except LoadFailed as error:
            subject = f"{order.model}/{order.version}"
            keeps = f"; version {slot.serving.order.version} goes on serving" if slot.serving else ""
            raise LoadFailed(error.message + keeps, code=error.code, subject=subject, hint=error.hint) from None

    async def unload(self, model: str, *, epoch: int, generation: int) -> None:
        """Stop serving a model; requests in flight are answered.

        Raises:
            PodRefused: ``stale``.
            LoadFailed: the engine's server does not let go of it. Unless it never will, it is told again with back-off,
                until it does or another order arrives.
        """
        slot = self.slots.get(model)
        accepted = self._ledger.entries.get(model)
        if slot is None:
            slot = self.slots.setdefault(model, Slot(model))
            if accepted is None:
                self._reached(slot, generation)
                return
        async with slot.admission:
            accepted = self._ledger.entries.get(model)
            if accepted is not None:
                check_pair(model, accepted, epoch=epoch, generation=generation)
                await self._record(model, Accepted(accepted.registry_id, epoch, generation, None, None))
            await self._stop(slot)
            old, slot.serving, slot.aspired = slot.serving, None, None
            self._reached(slot, generation)
            if old is not None:
                self._metrics.active.labels(model, str(old.order.version)).set(0)
            try:
                await self._retire(slot)
            except LoadFailed as error:
                if error.code != "unsupported":
                    slot.failures = 1
                    slot.retiring = self._spawn(self._retire_later(slot))
                raise

    async def restore(self, aspired: LoadOrder | None, model: str, quarantined: frozenset[int] = frozenset()) -> None:
        """Serve at start what is aspired, or else what this pod served before it restarted.

        The second lowers nothing: it is where the pod was. So a restart after a failed load does not leave the
        model unserved. A ``quarantined`` version is not loaded again.

        Raises:
            PodRefused, LoadFailed: neither could be had.
        """
        before = await self.resume(model)
        try:
            if aspired is not None:
                await self.load(aspired)
                return
        except (PodRefused, LoadFailed) as error:
            if before is None or before.version in quarantined:
                raise
            log.warning("aspired version not loaded, going back to the last served", model=model, error=str(error))
        if before is None:
            return
        slot = self.slots.setdefault(model, Slot(model))
        async with slot.admission:
            if slot.serving is not None or slot.bringing_up is not None:
                return  # it serves still, or an order came meanwhile
            if self._watch_seconds is not None:
                slot.aspired = before  # the server may start later than we: tried until it is there
            task = self._bring_up_in_task(slot, before, delay=0.0)
        await self._finish(slot, before, task)

    async def resume(self, model: str) -> LoadOrder | None:
        """What this pod served before it restarted. A server that outlived this process may still serve it."""
        accepted = self._ledger.entries.get(model)
        before = accepted.served if accepted else None
        if before is None:
            return None
        slot = self.slots.setdefault(before.model, Slot(before.model))
        try:
            served = await self._ask(before.model)
        except PodUnreachable as error:
            slot.reason = f"its server does not answer: {error}"
            return before
        if served is not None and served.holds(before) and slot.serving is None and not slot.busy:
            slot.serving, slot.aspired = Serving(before, served, time.monotonic()), before
            self._reached(slot, before.generation)
            self._count_active(before, None)
            log.info("still serving", model=before.model, version=before.version, generation=before.generation)
        return before

    async def confirmed(self, slot: Slot) -> Serving | None:
        """What serves, as the engine answers now; None: nothing, or not what was ordered.

        Raises:
            PodUnreachable: its server does not answer, or nothing that can be read.
        """
        serving = slot.serving
        if serving is None or self._watch_seconds is None:
            return serving
        try:
            served = await self._ask(slot.model)
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

    async def _ask(self, model: str) -> Served | None:
        """``Engine.serving``. Whatever goes wrong with it is the server's, or its engine's: ``PodUnreachable``."""
        try:
            return await self._engine.serving(model)
        except PodUnreachable:
            raise
        except Exception as error:
            raise PodUnreachable(f"its answer can't be read: {failure_message(error)}", subject=model) from error

    def _doubt(self, why: str) -> None:
        """One server holds all models: what one of them shows may be true of each, until it is asked."""
        for slot in self.slots.values():
            if slot.serving is not None:
                slot.doubt = why

    async def close(self) -> None:
        """End the engine. Requests in flight should have been answered."""
        self._closed = True
        for slot in self.slots.values():
            await self._stop(slot)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._engine.aclose()

    # --- bringing up ---

    def _bring_up_in_task(self, slot: Slot, order: LoadOrder, *, delay: float) -> "asyncio.Task[None]":
        task = self._spawn(self._bring_up(slot, order, delay))
        slot.bringing_up, slot.bringing_up_order = task, order
        task.add_done_callback(lambda done: self._brought_up(slot, done))
        return task

    def _brought_up(self, slot: Slot, task: "asyncio.Task[None]") -> None:
        if slot.bringing_up is task:
            slot.bringing_up = slot.bringing_up_order = None
            if slot.serving is None and not slot.stopping and not self._closed:
                self._respawn(slot)  # it failed while the old one was lost, or was lost at once itself

    async def _stop(self, slot: Slot) -> None:
        """End what is being done to the model. Waits for it: a server that was told to load can't be stopped."""
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

    async def _bring_up(self, slot: Slot, order: LoadOrder, delay: float) -> None:
        await asyncio.sleep(delay)
        started = time.monotonic()
        logger = log.bind(model=order.model, version=order.version, generation=order.generation, epoch=order.epoch)
        try:
            await self._engine.prepare(order)
            served = await self._swap(order)
        except Exception as error:
            failed = as_load_failed(error)
            slot.reason = f"version {order.version}: {failed.message}"
            unforeseen = None if isinstance(error, ModelcastError) else error
            logger.error("load failed", code=failed.code, error=failed.message, exc_info=unforeseen)
            raise failed from None
        # From here to the end nothing waits: who sees the engine's new version sees whose order it is.
        old = slot.serving
        if order != slot.aspired:
            slot.failures = 0
        slot.serving = Serving(order, served, time.monotonic())
        slot.aspired, slot.reason, slot.doubt = order, "", ""
        self._reached(slot, order.generation)
        seconds = {**served.seconds, "total": time.monotonic() - started}
        self._count_active(order, old)
        self._metrics.loads.labels(order.model, "loaded").inc()
        for stage, value in seconds.items():
            self._metrics.load_seconds.labels(stage).observe(value)
        logger.info("serving", **{f"{stage}_seconds": round(s, 4) for stage, s in seconds.items()})
        self._spawn(self._remember_served(order))

    async def _swap(self, order: LoadOrder) -> Served:
        if self.gapless:
            return await self._engine.swap(order)
        async with self._turn:
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
        self._metrics.generation.labels(order.model).set(order.generation)

    # --- what is lost ---

    def lost(self, model: str, why: str) -> None:
        """See ``LossListener``."""
        slot = self.slots.get(model)
        if slot is not None:
            self._lost(slot, why)

    def _lost(self, slot: Slot, why: str) -> None:
        serving = slot.serving
        if self._closed or serving is None:
            return
        slot.lost(why, time.monotonic())
        self._metrics.crashes.labels(slot.model).inc()
        self._metrics.active.labels(slot.model, str(serving.order.version)).set(0)
        log.error("no longer serving", model=slot.model, version=serving.order.version, why=why, failures=slot.failures)
        if not slot.busy:
            self._respawn(slot)

    def _respawn(self, slot: Slot) -> None:
        if slot.aspired is not None:
            self._bring_up_in_task(slot, slot.aspired, delay=slot.respawn_seconds())

    async def _watch(self, seconds: float) -> None:
        """Ask the server every ``seconds``: it may have restarted, or another client had it load something."""
        while True:
            await asyncio.sleep(seconds)
            for slot in list(self.slots.values()):
                try:
                    await self.confirmed(slot)
                except PodUnreachable as error:  # the others are asked all the same: it may concern this model alone
                    log.warning("the server does not answer", model=slot.model, error=str(error))

    async def _retire(self, slot: Slot) -> None:
        try:
            await uninterrupted(asyncio.ensure_future(self._engine.retire(slot.model)))
        except Exception as error:
            failed = as_load_failed(error)
            slot.reason = f"not unloaded: {failed.message}"
            log.warning("not unloaded", model=slot.model, error=str(failed))
            raise failed from None
        slot.reason = "unloaded"

    async def _retire_later(self, slot: Slot) -> None:
        """Until it is let go of: else it would be served on, and no one would watch it."""
        while True:
            await asyncio.sleep(slot.respawn_seconds())
            with suppress(LoadFailed):
                await self._retire(slot)
                return

    # --- small things ---

    def _reached(self, slot: Slot, generation: int) -> None:
        if not slot.unconfirmed:
            slot.reached = generation
        self.changed.set()
        self.changed = asyncio.Event()

    async def _remember_served(self, order: LoadOrder) -> None:
        slot = self.slots[order.model]
        async with slot.admission:
            accepted = self._ledger.entries.get(order.model)
            if accepted is not None and slot.aspired == order and accepted.served != order:
                await self._record(order.model, replace(accepted, served=order))

    async def _record(self, model: str, accepted: Accepted) -> None:
        try:
            await asyncio.to_thread(self._ledger.record, model, accepted)
        except OSError as error:
            raise LoadFailed(f"can't write the pod's state: {error}", code="state_unwritable", subject=model) from None

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_note_failure)
        return task


def _note_failure(task: "asyncio.Task[None]") -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, ModelcastError):
        log.error("task failed", exc_info=error)
