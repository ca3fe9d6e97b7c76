"""Carries out what is decided about a rollout's traffic: pods, the origin's table, the state object, Kafka."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Executor
from typing import Any, Protocol

import structlog

from modelcast.agents.region.ownership.owned_state import Superseded
from modelcast.agents.region.ownership.state_parts import StateParts
from modelcast.agents.region.traffic.decider.knowledge import (
    NEVER,
    CutSaved,
    CutUnsaved,
    GiveTable,
    Instant,
    LookAtTable,
    OwnerProved,
    PodCounted,
    PodSilent,
    ProveOwner,
    ReadCounts,
    ReadLog,
    RegionTraffic,
    SaveCut,
    SendCounts,
    SendReading,
    TableNotTaken,
    TableSeen,
    TableTaken,
    TableUnseen,
    TimePassed,
    TrafficEffect,
    TrafficEvent,
)
from modelcast.agents.region.traffic.decider.step_traffic import is_quiet, step_traffic, wakes_at
from modelcast.agents.region.traffic.ports import ASKED_AT_ONCE, TrafficPorts
from modelcast.consumers.pod_clients.port import LoadFailed, Pod, PodRefused, PodUnreachable
from modelcast.infra.telemetry import metrics
from modelcast.schemas.codec import encode
from modelcast.schemas.errors import ModelcastError
from modelcast.schemas.region_memory import Cut, Memory
from modelcast.schemas.topics import Topic
from modelcast.schemas.traffic.reports import PodCounts, TrafficReading
from modelcast.schemas.traffic.table import TrafficTable

TICK_SECONDS_MIN = 0.01

log = structlog.get_logger(__name__)


class LeadsTraffic(Protocol):
    """Whose traffic it is (``LocalRollout``)."""

    def refresh(self) -> None:
        """Look for news in the log."""
        ...

    def owner_doubted(self) -> None:
        """Have it checked whether this worker still owns the model."""
        ...

    def pod(self, name: str) -> Pod | None:
        """The pod of that name now."""
        ...

    def traffic_quiet(self) -> None:
        """No candidate meets traffic any more, and every pod that answers was read back so."""
        ...


class TrafficShell:
    """The traffic of one model's rollout. It belongs to one event loop.

    Args:
        region: the region's name.
        memory: the model's state object, as it was claimed.
        ports: what the rollouts of one worker share.
        parts: the state object, where a cut is kept.
        stores: where it is written.
        origin_reads: where the origin is read.
        owner: whose it is.
        proved_at: when (event loop's time) ownership was last certain.
    """

    def __init__(
        self,
        region: str,
        memory: Memory,
        ports: TrafficPorts,
        parts: StateParts,
        stores: Executor,
        origin_reads: Executor,
        owner: LeadsTraffic,
        *,
        proved_at: float,
    ) -> None:
        now = asyncio.get_running_loop().time()
        self.traffic = RegionTraffic(
            memory.registry_id,
            memory.model,
            region,
            ports.worker,
            memory.epoch,
            ports.pace,
            heard_at=now,
            proved_at=proved_at,
            cut=parts.cut,
            saved_cut=parts.cut,
        )
        self._model = memory.model
        self._ports = ports
        self._parts = parts
        self._stores = stores
        self._origin_reads = origin_reads
        self._owner = owner
        self._room = asyncio.Semaphore(ASKED_AT_ONCE)
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False
        self._log = log.bind(model=self._model, region=region)

    @property
    def busy(self) -> bool:
        """Whether anything of it runs."""
        return bool(self._tasks)

    def feed(self, event: TrafficEvent) -> None:
        """Take in what happened, and begin what follows."""
        if self._stopped:
            return
        now = self._now()
        before = self.traffic
        self.traffic, effects = step_traffic(before, event, now)
        self._ports.observer.divided(before, event, self.traffic, effects)
        for effect in effects:
            self._do(effect)
        self._set_timer(now)
        if is_quiet(self.traffic, now):
            self._owner.traffic_quiet()

    def end(self) -> None:
        """Do nothing more from here on; what was given to pods stays in force."""
        self._stopped = True
        for gauge in (metrics.CANDIDATE_SHARE, metrics.CANDIDATE_CUT):
            gauge.labels(self._model).set(0)  # who has the model now shows its own
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()

    async def stop(self) -> None:
        """``end``, and return once nothing of it runs any more."""
        self.end()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _now(self) -> Instant:
        return Instant(asyncio.get_running_loop().time(), self._ports.wall_clock_us())

    def _set_timer(self, now: Instant) -> None:
        if self._timer is not None:
            self._timer.cancel()
        at = wakes_at(self.traffic, now)
        if at < float("inf"):
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(at, now.seconds + TICK_SECONDS_MIN), self.feed, TimePassed())

    # --- effects --------------------------------------------------------------------------------------------

    def _do(self, effect: TrafficEffect) -> None:
        match effect:
            case SendCounts(counts):
                self._send(counts)
            case SendReading(reading):
                self._send(reading)
            case ReadLog():
                self._owner.refresh()
            case LookAtTable():
                self._spawn(self._look())
            case GiveTable(pod, table):
                self._spawn(self._give(pod, table))
            case ReadCounts(pod):
                self._spawn(self._read(pod))
            case ProveOwner():
                self._spawn(self._prove())
            case SaveCut(cut):
                self._spawn(self._save(cut))

    def _send(self, record: PodCounts | TrafficReading) -> None:
        try:
            value = encode(record)
        except ModelcastError as error:
            self._log.error("a report about traffic can't be written", error=error)
            return
        self._ports.outbox.send(Topic.TRAFFIC_COUNTS, self._model, value, lambda _: None, {})
        metrics.TRAFFIC_REPORTS.labels(self._model).inc()

    async def _look(self) -> None:
        try:
            loop = asyncio.get_running_loop()
            table = await loop.run_in_executor(self._origin_reads, self._ports.tables.look, self._model)
        except ModelcastError as error:
            self._log.warning("the table of shares can't be looked at now", error=error)
            self.feed(TableUnseen())
        else:
            self.feed(TableSeen(table))

    async def _give(self, name: str, table: TrafficTable) -> None:
        event: TrafficEvent
        pod = self._owner.pod(name)
        if pod is None:
            return
        try:
            async with asyncio.timeout(self._ports.pod_seconds_max):
                await pod.apply_traffic(table)
            event = TableTaken(name, table)
        except (PodRefused, LoadFailed) as error:
            self._log.warning("a pod did not take the shares", pod=name, code=error.code, error=error)
            event = TableNotTaken(name, table, error.code, str(error))
        except (PodUnreachable, TimeoutError) as error:
            event = TableNotTaken(name, table, "", str(error) or "no answer in time")
        except Exception as error:
            self._log.exception("giving shares failed in an unforeseen way", pod=name)
            event = TableNotTaken(name, table, "", f"{type(error).__name__}: {error}")
        if self._owner.pod(name) is pod:
            self.feed(event)

    async def _read(self, name: str) -> None:
        event: TrafficEvent
        pod = self._owner.pod(name)
        if pod is None:
            return
        try:
            async with self._room, asyncio.timeout(self._ports.pod_seconds_max):
                event = PodCounted(name, await pod.read_traffic(self._model))
        except (PodUnreachable, TimeoutError) as error:
            event = PodSilent(name, str(error) or "no answer in time")
        except Exception as error:
            self._log.exception("reading counts failed in an unforeseen way", pod=name)
            event = PodSilent(name, f"{type(error).__name__}: {error}")
        if self._owner.pod(name) is pod:
            self.feed(event)

    async def _prove(self) -> None:
        loop = asyncio.get_running_loop()
        at = loop.time()
        try:
            await self._parts.turn.run(self._stores, self._parts.check)
        except Superseded:
            self._owner.owner_doubted()
            at = NEVER
        except ModelcastError as error:
            self._log.warning("it is not known who owns the model: no pod is given more requests", error=error)
            at = NEVER
        self.feed(OwnerProved(at))

    async def _save(self, cut: Cut | None) -> None:
        try:
            await self._parts.turn.run(self._stores, lambda: self._parts.save_cut(cut))
        except Superseded:
            self._owner.owner_doubted()
            self.feed(CutUnsaved())
        except ModelcastError as error:
            self._log.warning("the cut is not written yet; it holds all the same", error=error)
            self.feed(CutUnsaved())
        else:
            self.feed(CutSaved(cut))

    def _spawn(self, doing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(doing)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("a task about traffic failed", error=error)
