"""A world in memory for one model: its pods, log, disk and reports, and the reconciler in it."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from modelcast.agents.region.decider.events_and_effects import Transfer
from modelcast.agents.region.decider.policy import Policy
from modelcast.agents.region.decider.replica import Replica
from modelcast.agents.region.ownership.owned_state import OwnedState
from modelcast.agents.region.reporting.progress import ReportRate
from modelcast.agents.region.shell.ports import RegionPorts
from modelcast.agents.region.shell.reconciler import Reconciler
from modelcast.agents.region.traffic.ports import TrafficPorts
from modelcast.consumers.fetch import FetchCancelled, FetchStatus
from modelcast.consumers.pod_clients.port import (
    LoadFailed,
    LoadOrder,
    PodReading,
    PodRefused,
    PodTraffic,
    PodUnreachable,
)
from modelcast.infra.stores.memory_store import MemoryStore
from modelcast.schemas.log.chain import StatedEntry
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.records import ModelUpdate
from modelcast.schemas.states import State
from modelcast.schemas.traffic.table import TrafficTable
from tests.agents.region.traffic.words import DivisionInMemory
from tests.agents.region.words import MODEL, REGION, REGISTRY, Log
from tests.support.waiting import until_async

SOON = Policy(read_every=0.2, backoff_first=0.02, backoff_max=0.1)


class PodInMemory:
    """Obeys, unless told otherwise. It holds a candidate beside what serves, and swaps the two to promote it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.serves: LoadOrder | None = None
        self.candidate: LoadOrder | None = None
        self.orders: list[LoadOrder] = []
        self.loaded: list[int] = []  # versions that were really loaded
        self.unloaded: list[int] = []
        self.division = DivisionInMemory(name)
        self.gate = asyncio.Event()
        self.gate.set()
        self.candidate_gate = asyncio.Event()
        self.candidate_gate.set()
        self.candidate_fails = ""  # the code
        self.away = False
        self.gapless = True

    async def load(self, order: LoadOrder) -> None:
        self.orders.append(order)
        await (self.candidate_gate if order.lane else self.gate).wait()
        if self.away:
            raise PodUnreachable("away", subject=self.name)
        if order.lane:
            if self.candidate_fails:
                raise LoadFailed("it can't", code=self.candidate_fails, subject=self.name)
            self._loads(self.candidate, order)
            self.candidate = order
            return
        old, new = self.serves, self.candidate
        if new is not None and new.manifest_digest == order.manifest_digest:
            self.candidate = replace(old, lane=new.lane, generation=order.generation) if old is not None else None
        else:
            self._loads(old, order)
        self.serves = order

    def _loads(self, before: LoadOrder | None, order: LoadOrder) -> None:
        if before is None or before.manifest_digest != order.manifest_digest or order.reload:
            self.loaded.append(order.version)

    async def unload(self, model: str, *, epoch: int, generation: int, lane: str = "") -> None:
        assert lane, "what serves is never unloaded"
        if self.candidate is not None:
            self.unloaded.append(self.candidate.version)
        self.candidate = None

    async def read(self, model: str, lane: str = "") -> PodReading:
        if self.away:
            raise PodUnreachable("away", subject=self.name)
        order = self.candidate if lane else self.serves
        if order is None:
            return PodReading(self.name, True, "i", None, None, None, None, gapless=self.gapless, lanes=True)
        return PodReading(
            self.name, True, "i", order.version, order.manifest_digest, order.generation, order.epoch,
            gapless=self.gapless, lanes=True,
        )  # fmt: skip

    async def apply_traffic(self, table: TrafficTable) -> None:
        if self.away:
            raise PodUnreachable("away", subject=self.name)
        if code := self.division.takes(table):
            raise PodRefused("no", code=code, subject=self.name)

    async def read_traffic(self, model: str) -> PodTraffic:
        if self.away:
            raise PodUnreachable("away", subject=self.name)
        return self.division.reading

    async def aclose(self) -> None:
        """Nothing to close."""


@dataclass
class BookInMemory:
    """A log that grows when it is read."""

    source: Log
    known: ModelLog | None = None
    trouble: Exception | None = None
    unread: str = ""
    refolds: int = 0
    after_reading: Callable[[], object] = lambda: None

    @property
    def log(self) -> ModelLog | None:
        return self.known

    def read(self, until: int) -> ModelLog:
        if self.trouble:
            raise self.trouble
        self.known = known = self.source.fold
        self.after_reading()
        return known

    def refresh(self) -> ModelLog:
        return self.read(0)

    def refold(self) -> ModelLog:
        self.refolds += 1
        return self.read(0)

    def holds(self, stated: StatedEntry) -> bool:
        return False

    def contradiction(self, stated: StatedEntry) -> str | None:
        return None


class DiskInMemory:
    """Every artifact can be had, at once or when told."""

    def __init__(self) -> None:
        self.fetched: list[int] = []
        self.slow = False
        self.moved = 0

    def fetch(self, update: ModelUpdate, cancel: threading.Event, on_status: Callable[[FetchStatus], None]) -> Transfer:
        self.fetched.append(update.version)
        while self.slow:
            if cancel.is_set():
                raise FetchCancelled("not wanted any more")
            self.moved += 1
            on_status(FetchStatus(self.moved, 1000, 10.0, "whole"))
            time.sleep(0.005)
        return Transfer(1, 0, 1)


@dataclass
class Reports:
    """What was told last, and every alarm."""

    last: dict[str, Replica] = field(default_factory=dict)
    alarms: list[str] = field(default_factory=list)

    def changed(self, model: str, replica: Replica) -> None:
        self.last[model] = replica
        if replica.facts.alarm:
            self.alarms.append(replica.facts.alarm)

    def unchanged(self, model: str, replica: Replica) -> None:
        """Nothing is told."""


class Scene:
    """One model with its world."""

    def __init__(
        self,
        log: Log,
        report_rate: ReportRate | None = None,
        large: Executor | None = None,
        policy: Policy = SOON,
        traffic: TrafficPorts | None = None,
    ) -> None:
        self.log = log
        self.bucket = MemoryStore()
        self.pods = {name: PodInMemory(name) for name in ("p", "q")}
        self.disk = DiskInMemory()
        self.reports = Reports()
        self.book = BookInMemory(log)
        self.replaced: list[str] = []
        self.threads = ThreadPoolExecutor(8)
        self.world = RegionPorts(
            REGION, self.pods, self.disk, self.reports, self.threads, large or self.threads, load_seconds_max=5.0,
            report_rate=report_rate or ReportRate(), small_fetches=self.threads, traffic=traffic,
        )  # fmt: skip
        self.state = OwnedState(self.bucket, MODEL, REGION, "me")
        self.reconciler = Reconciler(MODEL, self.world, self.state, self.book, policy, self.replaced.append)

    async def until(self, condition: Callable[[], object], what: str) -> None:
        await until_async(condition, what)

    @property
    def told(self) -> State | None:
        replica = self.reports.last.get(MODEL)
        return replica.state if replica else None

    async def serves(self, version: int) -> None:
        await self.until(
            lambda: (
                self.told is State.SERVING and all(p.serves and p.serves.version == version for p in self.pods.values())
            ),
            f"version {version} serves",
        )

    async def start(self) -> "Scene":
        self.reconciler.start(REGISTRY, known_to_exist=True)
        await self.until(lambda: self.reconciler.replica, "claimed")
        return self

    async def end(self) -> None:
        self.disk.slow = False
        await self.reconciler.stop("the test ends")
        self.threads.shutdown()
