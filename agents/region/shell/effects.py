"""Effects carried out: each becomes one event that says what came of it, unless its pod left. Nothing here decides."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from contextlib import suppress
from typing import TypeVar

from structlog.typing import FilteringBoundLogger

from modelcast.agents.region.decider.events_and_effects import (
    Event,
    Fetched,
    FetchFailed,
    LoadBroken,
    Loaded,
    LoadRefused,
    PodLost,
    PodRead,
    Replaced,
    Saved,
    SaveFailed,
    Transfer,
    Unload,
    Unloaded,
)
from modelcast.agents.region.ownership.owned_state import Superseded
from modelcast.agents.region.ownership.state_parts import StateTurn
from modelcast.agents.region.reporting.progress import ProgressReporter
from modelcast.agents.region.shell.ports import RegionPorts, StateObject
from modelcast.consumers.fetch import FetchCancelled
from modelcast.consumers.pod_clients.port import LoadFailed, LoadOrder, Pod, PodRefused, PodUnreachable
from modelcast.infra.telemetry import metrics
from modelcast.schemas.errors import ModelcastError, VerificationFailed
from modelcast.schemas.records import ModelUpdate
from modelcast.schemas.region_memory import Memory

T = TypeVar("T")
REASON_CHARS_MAX = 480  # a report holds 500 of them, with what is put before: a hint at the end must not be cut off


async def in_thread(executor: Executor, call: Callable[[], T]) -> T:
    """``call()`` on a thread of ``executor``."""
    return await asyncio.get_running_loop().run_in_executor(executor, call)


class EffectRunner:
    """Carries out the effects of one lane of a model."""

    def __init__(
        self,
        model: str,
        ports: RegionPorts,
        state: StateObject,
        turn: StateTurn,
        log: FilteringBoundLogger,
        lane: str = "",
    ) -> None:
        self._log = log
        self._model = model
        self._lane = lane
        self._ports = ports
        self._state = state
        self._turn = turn

    async def fetch(self, update: ModelUpdate, cancel: threading.Event, emit: Callable[[Event], None]) -> Event:
        """``Fetched`` or ``FetchFailed``. ``emit`` is called on the event loop with what is known meanwhile."""
        digest, subject = update.artifact.manifest_digest, {"version": update.version}
        began = time.perf_counter()
        loop = asyncio.get_running_loop()

        def report(event: Event) -> None:
            with suppress(RuntimeError):  # the loop is closed: the event has no reader any more
                loop.call_soon_threadsafe(emit, event)

        def fetch() -> Transfer:
            with self._ports.report_rate.fetching():
                reporter = ProgressReporter(digest, self._ports.report_rate, len(self._ports.pods), report)
                return self._ports.artifacts.fetch(update, cancel, reporter)

        try:
            transfer = await in_thread(self._ports.fetches_of(update.artifact.size_bytes), fetch)
        except FetchCancelled as error:
            return FetchFailed(digest, error.message, cancelled=True)
        except VerificationFailed as error:
            metrics.FETCHES.labels(self._model, "damaged").inc()
            self._log.error("the artifact arrived damaged", error=error, **subject)
            return FetchFailed(digest, str(error), damaged=True)
        except ModelcastError as error:
            metrics.FETCHES.labels(self._model, "failed").inc()
            self._log.warning("the artifact could not be fetched", error=error, **subject)
            return FetchFailed(digest, str(error))
        except Exception as error:
            metrics.FETCHES.labels(self._model, "failed").inc()
            self._log.exception("fetching failed in an unforeseen way", **subject)
            return FetchFailed(digest, f"{type(error).__name__}: {error}")
        seconds = time.perf_counter() - began
        metrics.FETCHES.labels(self._model, "done").inc()
        metrics.FETCH_SECONDS.observe(seconds)
        for stage, took_seconds in transfer.stage_seconds.items():
            metrics.STAGE_SECONDS.labels(stage).observe(took_seconds)
        metrics.FETCHED_BYTES.labels(self._model, transfer.kind).inc(transfer.bytes_moved)
        metrics.SAVED_BYTES.labels(self._model, transfer.kind).inc(transfer.bytes_saved)
        self._log.info(
            "staged", seconds=round(seconds, 4), bytes_moved=transfer.bytes_moved, way=transfer.way, **subject
        )
        return Fetched(digest, transfer)

    async def load(self, name: str, order: LoadOrder) -> Event | None:
        """``Loaded``, ``LoadRefused``, ``LoadBroken`` or ``PodLost``; None: the pod has left meanwhile."""
        return await self._asked(name, lambda pod: self._load(name, pod, order))

    async def unload(self, effect: Unload) -> Event | None:
        """``Unloaded`` or ``PodLost``; None: the pod has left meanwhile."""
        return await self._asked(effect.pod, lambda pod: self._unload(effect, pod))

    async def _unload(self, effect: Unload, pod: Pod) -> Event:
        try:
            async with asyncio.timeout(self._ports.load_seconds_max):
                await pod.unload(self._model, epoch=effect.epoch, generation=effect.generation, lane=self._lane)
        except (PodRefused, LoadFailed) as error:
            self._log.warning("a pod did not let go of a candidate", error=error, code=error.code, pod=effect.pod)
            return Unloaded(effect.pod, error.code, str(error))
        except (PodUnreachable, TimeoutError) as error:
            return PodLost(effect.pod, str(error) or f"no answer within {self._ports.load_seconds_max:g} s")
        except Exception as error:
            self._log.exception("unloading failed in an unforeseen way", pod=effect.pod)
            return PodLost(effect.pod, f"{type(error).__name__}: {error}")
        self._log.info("a pod has let go of a candidate", pod=effect.pod)
        return Unloaded(effect.pod)

    async def read(self, name: str) -> Event | None:
        """``PodRead`` or ``PodLost``; None: the pod has left meanwhile."""
        return await self._asked(name, lambda pod: self._read(name, pod))

    async def _asked(self, name: str, ask: Callable[[Pod], Awaitable[Event]]) -> Event | None:
        """What a pod answers. What one says that has left says nothing of the pod that has its name now."""
        pod = self._ports.pods.get(name)
        if pod is None:
            return None
        event = await ask(pod)
        return event if self._ports.pods.get(name) is pod else None

    async def _load(self, name: str, pod: Pod, order: LoadOrder) -> Event:
        subject = {"version": order.version, "generation": order.generation, "pod": name}
        began = time.perf_counter()
        try:
            async with asyncio.timeout(self._ports.load_seconds_max):
                await pod.load(order)
        except PodRefused as error:
            metrics.LOADS.labels(self._model, "refused").inc()
            if error.code == "stale":
                metrics.FENCED.labels(self._model).inc()
            self._log.warning("a pod refused an order", error=error, code=error.code, epoch=order.epoch, **subject)
            return LoadRefused(name, order, error.code, error.within(REASON_CHARS_MAX))
        except LoadFailed as error:
            metrics.LOADS.labels(self._model, "failed").inc()
            self._log.error("a pod could not load", error=error, code=error.code, **subject)
            return LoadBroken(name, order, error.code, error.within(REASON_CHARS_MAX))
        except (PodUnreachable, TimeoutError) as error:
            metrics.LOADS.labels(self._model, "failed").inc()
            reason = str(error) or f"no answer to a load within {self._ports.load_seconds_max:g} s"
            self._log.warning("a pod did not answer", error=reason, **subject)
            return PodLost(name, reason)
        except Exception as error:
            self._log.exception("loading failed in an unforeseen way", **subject)
            return PodLost(name, f"{type(error).__name__}: {error}")
        seconds = time.perf_counter() - began
        metrics.LOADS.labels(self._model, "served").inc()
        metrics.LOAD_ORDER_SECONDS.observe(seconds)
        self._log.info("a pod reported that it serves", seconds=round(seconds, 4), **subject)
        return Loaded(name, order)

    async def _read(self, name: str, pod: Pod) -> Event:
        try:
            return PodRead(await pod.read(self._model, self._lane))
        except PodUnreachable as error:
            return PodLost(name, str(error))
        except Exception as error:
            self._log.exception("reading back failed in an unforeseen way", pod=name)
            return PodLost(name, f"{type(error).__name__}: {error}")

    async def save(self, memory: Memory) -> Event:
        """``Saved``, ``SaveFailed`` or ``Replaced``."""
        return await self._on_state(lambda: self._state.save(memory))

    async def check(self, epoch_seen: int) -> Event:
        """See ``save``."""
        return await self._on_state(lambda: self._state.check(epoch_seen))

    async def claim(self, registry_id: str) -> Memory:
        """Own the model. Raises like ``OwnedState.claim``."""
        return await self._turn.run(self._ports.stores, lambda: self._state.claim(registry_id))

    async def _on_state(self, call: Callable[[], Memory]) -> Event:
        try:
            return Saved(await self._turn.run(self._ports.stores, call))
        except Superseded as error:
            metrics.FENCED.labels(self._model).inc()
            return Replaced(str(error))
        except ModelcastError as error:
            self._log.warning("the region's state could not be written or read", error=error)
            return SaveFailed(str(error))
        except Exception as error:
            self._log.exception("calling on the region's state failed in an unforeseen way")
            return SaveFailed(f"{type(error).__name__}: {error}")
