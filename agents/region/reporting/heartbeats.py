"""Heartbeats of this worker, sent every few seconds, also when there is nothing to do."""

import asyncio
import platform
import shutil
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version

import structlog

from modelcast.consumers.fetch import ArtifactCache
from modelcast.infra.kafka.outbox import Outbox
from modelcast.infra.telemetry import metrics
from modelcast.schemas.codec import encode
from modelcast.schemas.errors import ModelcastError
from modelcast.schemas.records import RegionHeartbeat
from modelcast.schemas.topics import Topic

CACHE_EVERY_BEATS = 6
"""Walking the cache costs more than a beat is worth."""

UNKNOWN_SECONDS = 0.5
"""How soon the first heartbeat follows the first registry."""

log = structlog.get_logger(__name__)


class HeartbeatSender:
    """Sends them; also notices that the process has slept.

    Args:
        outbox: where to.
        region: of whom.
        worker: who.
        every_seconds: how often.
        cache: whose disk is looked at.
        registry_id: the registry obeyed; "" as long as there is none, and no tracker that reads.
        models_owned: how many.
        origin_bytes_per_second: throughput of the long link of late; 0: not known.
        on_wake: called when the process was stopped for longer than a dead worker keeps its partitions.
        on_heard: called when the cluster has confirmed a heartbeat.
    """

    def __init__(
        self,
        outbox: Outbox,
        region: str,
        worker: str,
        every_seconds: float,
        *,
        cache: ArtifactCache,
        registry_id: Callable[[], str],
        models_owned: Callable[[], int],
        origin_bytes_per_second: Callable[[], float] = lambda: 0.0,
        on_wake: Callable[[], None],
        on_heard: Callable[[], None] = lambda: None,
    ) -> None:
        self._outbox = outbox
        self._region = region
        self._worker = worker
        self._every = every_seconds
        self._cache = cache
        self._registry_id = registry_id
        self._models_owned = models_owned
        self._origin_bytes_per_second = origin_bytes_per_second
        self._on_wake = on_wake
        self._on_heard = on_heard
        self._sequence = 0
        self._started_at_us = time.time_ns() // 1000
        self._cache_used_bytes = 0
        self._software = software()
        self.beat_at = time.monotonic()

    async def run(self) -> None:
        """Beat for ever."""
        while True:
            now = time.monotonic()
            if now - self.beat_at > self._every + 5.0:
                log.warning("this process did not run for a while", seconds=round(now - self.beat_at, 1))
                self._on_wake()
            self.beat_at = now
            if self._sequence % CACHE_EVERY_BEATS == 0:
                try:
                    self._cache_used_bytes = await asyncio.to_thread(self._cache.used_bytes)
                except OSError as error:
                    log.warning("the cache can't be measured", error=error)
            self.beat()
            await asyncio.sleep(self._every if self._registry_id() else min(self._every, UNKNOWN_SECONDS))

    def beat(self, *, draining: bool = False) -> None:
        """One heartbeat."""
        self._sequence += 1
        free_bytes = self._disk_free_bytes()
        metrics.CACHE_USED_BYTES.set(self._cache_used_bytes)
        metrics.DISK_FREE_BYTES.set(free_bytes)
        registry_id = self._registry_id()
        if not registry_id:
            return
        record = RegionHeartbeat(
            registry_id=registry_id,
            region=self._region,
            worker=self._worker,
            sequence=self._sequence,
            started_at_us=self._started_at_us,
            sent_at_us=time.time_ns() // 1000,
            models_owned=self._models_owned(),
            disk_free_bytes=free_bytes,
            cache_used_bytes=self._cache_used_bytes,
            origin_bytes_per_second=round(self._origin_bytes_per_second(), 1),
            draining=draining,
            software=self._software,
        )
        try:
            value = encode(record)
        except ModelcastError as error:
            log.error("a heartbeat can't be written", error=error)
            return
        self._outbox.send(Topic.REGION_HEARTBEATS, f"{self._region}/{self._worker}", value, self._delivered)

    def _delivered(self, done: bool) -> None:
        metrics.HEARTBEATS.labels("sent" if done else "failed").inc()
        if done:
            self._on_heard()

    def _disk_free_bytes(self) -> int:
        try:
            return shutil.disk_usage(self._cache.folder).free
        except OSError:
            return 0  # the folder was removed: the next fetch makes it again


def software() -> Mapping[str, str]:
    """Versions of what runs here."""
    found = {"python": platform.python_version()}
    for name in ("modelcast", "faust-streaming", "aiokafka", "confluent-kafka"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
