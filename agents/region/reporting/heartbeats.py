"""Heartbeats of this worker, sent every few seconds, also when there is nothing to do."""

import asyncio
import platform
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol

import structlog

from modelcast.agents.region.reporting.snapshot_reporter import RecordOutbox
from modelcast.infra.telemetry import metrics
from modelcast.schemas.codec import encode
from modelcast.schemas.errors import ModelcastError
from modelcast.schemas.records import RegionHeartbeat
from modelcast.schemas.topics import Topic
from modelcast.schemas.traffic.readiness import SOFTWARE_KEY

CACHE_EVERY_BEATS = 6
"""Walking the cache costs more than a beat is worth."""

UNKNOWN_SECONDS = 0.5
"""How soon the first heartbeat follows the first registry."""

SLEPT_SECONDS = 5.0
"""A heartbeat that is later than this was held up by more than a busy event loop."""

log = structlog.get_logger(__name__)


def _wall_clock_us() -> int:
    return time.time_ns() // 1000


class MeasuredDisk(Protocol):
    """What a heartbeat reports of the worker's disk (``ArtifactCache``). Both raise ``OSError``."""

    def used_bytes(self) -> int:
        """Bytes of all artifacts on it. Blocking."""
        ...

    def disk_free_bytes(self) -> int:
        """Bytes that are left. Does not block."""
        ...


class MeasuredLink(Protocol):
    """What a heartbeat reports of the long link (``Disk``)."""

    @property
    def origin_bytes_per_second(self) -> float:
        """Throughput of late; 0: not known."""
        ...


class BeatingWorker(Protocol):
    """Whose heartbeats are sent (``RegionAgent``)."""

    @property
    def registry_id(self) -> str:
        """The registry obeyed; "" as long as there is none, and no tracker that reads."""
        ...

    @property
    def models_owned(self) -> int:
        """How many."""
        ...

    @property
    def rollouts(self) -> str:
        """The level of rollouts that it can do, or why it can do none."""
        ...

    def woke(self) -> None:
        """The process was stopped for longer than a dead worker keeps its partitions."""
        ...

    def heartbeat_confirmed(self) -> None:
        """The cluster has confirmed a heartbeat."""
        ...


class HeartbeatSender:
    """Sends heartbeats, and notices that the process was suspended.

    Args:
        outbox: where to.
        region: of whom.
        name: the worker's.
        worker: what of it is reported, and who hears.
        every_seconds: how often.
        disk: whose sizes are reported.
        link: whose throughput is; None: it is not known.
        threads: where the disk is measured; None: the event loop's own.
        wall_clock_us: UTC microseconds.
    """

    def __init__(
        self,
        outbox: RecordOutbox,
        region: str,
        name: str,
        worker: BeatingWorker,
        every_seconds: float,
        *,
        disk: MeasuredDisk,
        link: MeasuredLink | None = None,
        threads: Executor | None = None,
        wall_clock_us: Callable[[], int] = _wall_clock_us,
    ) -> None:
        self._outbox = outbox
        self._region = region
        self._name = name
        self._worker = worker
        self._every = every_seconds
        self._disk = disk
        self._link = link
        self._threads = threads
        self._wall_clock_us = wall_clock_us
        self._sequence = 0
        self._started_at_us = wall_clock_us()
        self._cache_used_bytes = 0
        self._software = software()
        self.beat_at = asyncio.get_running_loop().time()

    async def run(self) -> None:
        """Send heartbeats until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            if now - self.beat_at > self._every + SLEPT_SECONDS:
                log.warning("this process did not run for a while", seconds=round(now - self.beat_at, 1))
                self._worker.woke()
            self.beat_at = now
            if self._sequence % CACHE_EVERY_BEATS == 0:
                try:
                    self._cache_used_bytes = await loop.run_in_executor(self._threads, self._disk.used_bytes)
                except OSError as error:
                    log.warning("the cache can't be measured", error=error)
            self.beat()
            await asyncio.sleep(self._every if self._worker.registry_id else min(self._every, UNKNOWN_SECONDS))

    def beat(self, *, draining: bool = False) -> None:
        """Send one heartbeat."""
        self._sequence += 1
        free_bytes = self._disk_free_bytes()
        metrics.CACHE_USED_BYTES.set(self._cache_used_bytes)
        metrics.DISK_FREE_BYTES.set(free_bytes)
        registry_id = self._worker.registry_id
        if not registry_id:
            return
        record = RegionHeartbeat(
            registry_id=registry_id,
            region=self._region,
            worker=self._name,
            sequence=self._sequence,
            started_at_us=self._started_at_us,
            sent_at_us=self._wall_clock_us(),
            models_owned=self._worker.models_owned,
            disk_free_bytes=free_bytes,
            cache_used_bytes=self._cache_used_bytes,
            origin_bytes_per_second=round(self._link.origin_bytes_per_second, 1) if self._link else 0.0,
            draining=draining,
            software={**self._software, SOFTWARE_KEY: self._worker.rollouts},
        )
        try:
            value = encode(record)
        except ModelcastError as error:
            log.error("a heartbeat can't be written", error=error)
            return
        self._outbox.send(Topic.REGION_HEARTBEATS, f"{self._region}/{self._name}", value, self._delivered, {})

    def _delivered(self, done: bool) -> None:
        metrics.HEARTBEATS.labels("sent" if done else "failed").inc()
        if done:
            self._worker.heartbeat_confirmed()

    def _disk_free_bytes(self) -> int:
        try:
            return self._disk.disk_free_bytes()
        except OSError:
            return 0  # the folder was removed: the next fetch makes it again


@cache
def software() -> Mapping[str, str]:
    """Versions of what runs here."""
    found = {"python": platform.python_version()}
    for name in ("modelcast", "faust-streaming", "aiokafka", "confluent-kafka"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
