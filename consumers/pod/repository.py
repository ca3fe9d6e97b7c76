"""The models of one pod: admits orders, loads beside what serves, swaps, and puts crashed workers back."""

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from modelcast.consumers.pod.config import PodConfig
from modelcast.consumers.pod.fence import Accepted, Verdict, check_pair, judge
from modelcast.consumers.pod.ledger import Ledger
from modelcast.consumers.pod.worker.link import WorkerLink
from modelcast.consumers.pod.worker.process import LoadSpec
from modelcast.consumers.pod.worker.spares import Spares
from modelcast.consumers.pod_clients.port import LoadFailed, LoadOrder, PodRefused
from modelcast.infra.telemetry.metrics import PodMetrics
from modelcast.schemas.errors import ModelcastError

log = structlog.get_logger("modelcast.pod")

RESPAWN_SECONDS_MIN = 0.1
RESPAWN_SECONDS_MAX = 30.0
STEADY_SECONDS = 60.0  # a worker that lived this long starts a new count of crashes


@dataclass(frozen=True, slots=True)
class Serving:
    """A worker that serves, by whose order, and what every one of its answers says of that."""

    link: WorkerLink
    order: LoadOrder
    metadata: dict[str, Any]
    since: float  # monotonic seconds

    @property
    def headers(self) -> dict[str, str]:
        """The headers that name version and authority."""
        return {
            "modelcast-version": str(self.order.version),
            "modelcast-digest": self.order.manifest_digest,
            "modelcast-generation": str(self.order.generation),
            "modelcast-epoch": str(self.order.epoch),
            "modelcast-registry": self.order.registry_id,
        }


@dataclass(slots=True, eq=False)
class Slot:
    """One model's place in the pod."""

    model: str
    admission: asyncio.Lock = field(default_factory=asyncio.Lock)
    serving: Serving | None = None
    wanted: LoadOrder | None = None  # what should be serving; differs from ``serving`` only after a crash
    bringing_up: "asyncio.Task[None] | None" = None
    bringing_up_order: LoadOrder | None = None
    failures: int = 0  # crashes and failed respawns in a row
    reason: str = ""  # why the latest attempt failed
    settled: asyncio.Event = field(default_factory=asyncio.Event)  # it was served, or unloaded, since the start


class Repository:
    """V2's model repository. All methods run on the event loop's thread."""

    def __init__(self, config: PodConfig, ledger: Ledger, metrics: PodMetrics) -> None:
        self.slots: dict[str, Slot] = {}
        self._config = config
        self._ledger = ledger
        self._metrics = metrics
        self._spares = Spares(config.spares, config.artifacts, nice=self._nice)
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def settled(self, model: str) -> asyncio.Event:
        """Set once the model was served, or its unloading ordered, since the start."""
        return self.slots.setdefault(model, Slot(model)).settled

    async def start(self) -> None:
        """Warm the spares."""
        await self._spares.refill()

    async def load(self, order: LoadOrder) -> None:
        """Obey an order; return when its version serves.

        Raises:
            PodRefused: see ``fence.judge``; ``superseded`` if a higher order arrived meanwhile.
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
            verdict = judge(order, accepted, slot.serving.order if slot.serving else None)
            running = slot.bringing_up
            if running is not None and _same(slot.bringing_up_order, order):
                return running  # asked twice: one load, both callers wait for it
            served = order if verdict is Verdict.ADOPT else accepted.served if accepted else None
            promise = Accepted(order.registry_id, order.epoch, order.generation, order.manifest_digest, served)
            if promise != accepted:
                await self._record(order.model, promise)
            await self._stop_bringing_up(slot)
            serving = slot.serving  # it may have crashed while we wrote
            if verdict is Verdict.LOAD or serving is None:
                return self._bring_up_in_task(slot, order, delay=0.0)
            if verdict is Verdict.ADOPT:
                slot.serving = replace(serving, order=order)
                slot.wanted = order
                slot.reason = ""
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
            raise LoadFailed(error.message, code=error.code, subject=f"{order.model}/{order.version}") from None

    async def unload(self, model: str, *, epoch: int, generation: int) -> None:
        """Stop serving a model; requests in flight are answered. Raises ``PodRefused`` (``stale``)."""
        slot = self.slots.get(model)
        accepted = self._ledger.entries.get(model)
        if slot is None:
            if accepted is None:
                return
            slot = self.slots.setdefault(model, Slot(model))
        async with slot.admission:
            accepted = self._ledger.entries.get(model)
            if accepted is not None:
                check_pair(model, accepted, epoch=epoch, generation=generation)
                await self._record(model, Accepted(accepted.registry_id, epoch, generation, None, None))
            await self._stop_bringing_up(slot)
            old, slot.serving, slot.wanted = slot.serving, None, None
            slot.reason = "unloaded"
            slot.settled.set()
            if old is not None:
                self._metrics.active.labels(model, str(old.order.version)).set(0)
                self._spawn(old.link.retire(timeout=self._config.infer_seconds_max))

    async def restore(self, desired: LoadOrder | None, model: str) -> None:
        """At start: serve what is desired, or else what this pod served before it restarted.

        The second lowers nothing: it is where the pod was. So a restart after a failed load does not leave the
        model unserved.

        Raises:
            PodRefused, LoadFailed: neither could be had.
        """
        accepted = self._ledger.entries.get(model)
        before = accepted.served if accepted else None
        try:
            if desired is not None:
                await self.load(desired)
                return
        except (PodRefused, LoadFailed) as error:
            if before is None:
                raise
            log.warning("desired version not loaded, going back to the last served", model=model, error=str(error))
        if before is None:
            return
        slot = self.slots.setdefault(model, Slot(model))
        async with slot.admission:
            if slot.serving is not None or slot.bringing_up is not None:
                return  # an order came meanwhile
            task = self._bring_up_in_task(slot, before, delay=0.0)
        await self._finish(slot, before, task)

    async def close(self) -> None:
        """End every worker. Requests in flight should have been answered."""
        self._closed = True
        for slot in self.slots.values():
            await self._stop_bringing_up(slot)
            if slot.serving is not None:
                await slot.serving.link.kill()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._spares.close()

    # --- bringing up ---

    def _bring_up_in_task(self, slot: Slot, order: LoadOrder, *, delay: float) -> "asyncio.Task[None]":
        task = self._spawn(self._bring_up(slot, order, delay))
        slot.bringing_up, slot.bringing_up_order = task, order
        task.add_done_callback(lambda done: self._brought_up(slot, done))
        return task

    def _brought_up(self, slot: Slot, task: "asyncio.Task[None]") -> None:
        if slot.bringing_up is task:
            slot.bringing_up = slot.bringing_up_order = None
            if slot.serving is None and slot.wanted is not None and not self._closed:
                self._respawn(slot)  # it failed while the old one lay crashed, or crashed at once itself

    async def _stop_bringing_up(self, slot: Slot) -> None:
        task = slot.bringing_up
        if task is not None:
            slot.bringing_up = slot.bringing_up_order = None
            task.cancel()
            await asyncio.wait({task})

    async def _bring_up(self, slot: Slot, order: LoadOrder, delay: float) -> None:
        await asyncio.sleep(delay)
        started = time.monotonic()
        logger = log.bind(model=order.model, version=order.version, generation=order.generation, epoch=order.epoch)
        try:
            link = await self._spares.take()
            spawned = time.monotonic()
            try:
                config = self._config
                spec = LoadSpec(
                    *(order.model, order.version, order.manifest_digest),
                    *(config.run_threads, config.intra_op_threads),
                )
                loaded = await link.load(spec, timeout=config.load_seconds_max)
            except BaseException:
                await link.kill()
                raise
        except LoadFailed as error:
            slot.reason = f"version {order.version}: {error.message}"
            logger.error("load failed", code=error.code, error=error.message)
            raise
        finally:
            if not self._closed:
                self._spawn(self._refill())
        # From here to the end nothing waits: the swap is one step of the event loop.
        old = slot.serving
        if order != slot.wanted:
            slot.failures = 0
        slot.serving = Serving(link, order, loaded.metadata, time.monotonic())
        slot.wanted, slot.reason = order, ""
        slot.settled.set()
        link.gone.add_done_callback(lambda _: self._worker_gone(slot, link))
        seconds = {"spawn": spawned - started, **loaded.seconds, "total": time.monotonic() - started}
        self._count_swap(order, old, seconds)
        logger.info("serving", **{f"{stage}_seconds": round(s, 4) for stage, s in seconds.items()})
        if old is not None:
            self._spawn(old.link.retire(timeout=self._config.infer_seconds_max))
        self._spawn(self._remember_served(order))

    def _count_swap(self, order: LoadOrder, old: Serving | None, seconds: dict[str, float]) -> None:
        metrics = self._metrics
        if old is not None:
            metrics.active.labels(order.model, str(old.order.version)).set(0)
        metrics.active.labels(order.model, str(order.version)).set(1)
        metrics.generation.labels(order.model).set(order.generation)
        metrics.loads.labels(order.model, "loaded").inc()
        for stage, value in seconds.items():
            metrics.load_seconds.labels(stage).observe(value)

    def _worker_gone(self, slot: Slot, link: WorkerLink) -> None:
        serving = slot.serving
        if self._closed or serving is None or serving.link is not link:
            return  # it was retired
        slot.serving = None
        if time.monotonic() - serving.since > STEADY_SECONDS:
            slot.failures = 0
        slot.reason = "its worker process died"
        self._metrics.crashes.labels(slot.model).inc()
        self._metrics.active.labels(slot.model, str(serving.order.version)).set(0)
        log.error("worker process died", model=slot.model, version=serving.order.version, failures=slot.failures)
        if slot.bringing_up is None:
            self._respawn(slot)

    def _respawn(self, slot: Slot) -> None:
        order = slot.wanted
        if order is None:
            return
        slot.failures += 1
        n = slot.failures
        delay = 0.0 if n == 1 else min(RESPAWN_SECONDS_MAX, RESPAWN_SECONDS_MIN * 2.0 ** min(n - 2, 20))
        self._bring_up_in_task(slot, order, delay=delay)

    # --- small things ---

    def _nice(self) -> int:
        """Where nothing serves, nothing is disturbed, and a pod that starts should be quick."""
        return self._config.load_nice if any(slot.serving for slot in self.slots.values()) else 0

    async def _refill(self) -> None:
        try:
            await self._spares.refill()
        except LoadFailed as error:
            log.error("no spare worker", error=error.message)

    async def _remember_served(self, order: LoadOrder) -> None:
        slot = self.slots[order.model]
        async with slot.admission:
            accepted = self._ledger.entries.get(order.model)
            if accepted is not None and slot.wanted == order and accepted.served != order:
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


def _same(a: LoadOrder | None, b: LoadOrder) -> bool:
    return a is not None and (a.epoch, a.generation, a.manifest_digest) == (b.epoch, b.generation, b.manifest_digest)
