"""``run_region``: one worker of one region, from its settings to its last heartbeat."""

import asyncio
import os
import secrets
import signal
import socket
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import structlog

from modelcast.agents.region.agent import RegionAgent
from modelcast.agents.region.app import build_app
from modelcast.agents.region.decider.events_and_effects import PodsKnown
from modelcast.agents.region.disk import Disk
from modelcast.agents.region.fleets import RegionFleets
from modelcast.agents.region.intake import UpdateIntake
from modelcast.agents.region.long_link import fetch_accelerator, long_link, reload_limit
from modelcast.agents.region.registry_watch import RegistryWatch
from modelcast.agents.region.reporting.heartbeats import HeartbeatSender
from modelcast.agents.region.reporting.probe_answers import ProbeAnswers
from modelcast.agents.region.reporting.snapshot_reporter import SnapshotReporter
from modelcast.agents.region.reporting.spans import SpanOutbox, SpanSteps
from modelcast.agents.region.shell.notices import LoggedSteps
from modelcast.agents.region.shell.ports import RegionPorts
from modelcast.agents.region.traffic.ports import TrafficPorts
from modelcast.agents.region.traffic.tables import OriginTables
from modelcast.consumers.fetch import ArtifactCache
from modelcast.infra.kafka.admin import create_topics
from modelcast.infra.kafka.agent_connection import agent_connection
from modelcast.infra.kafka.faust_app import NOT_CONNECTED, data_dir, run_app, stop_on_signals
from modelcast.infra.kafka.faust_consumer import PositionedApp
from modelcast.infra.kafka.outbox import Outbox
from modelcast.infra.registry.configured import registry_opener
from modelcast.infra.settings import Settings
from modelcast.infra.stores.breaker import BreakerStore
from modelcast.infra.stores.configured import origin_store, region_store
from modelcast.infra.telemetry.health import HealthServer
from modelcast.infra.telemetry.tracing import span_sink
from modelcast.schemas.errors import ModelcastError
from modelcast.schemas.records import ModelUpdate

STORE_THREADS = 16
ORIGIN_READ_THREADS = 8
FETCH_THREADS = 16
"""Of large artifacts; most of them wait for a lease of the origin."""
SMALL_FETCH_THREADS = 8
FLUSH_SECONDS = 5.0
ALIVE_SECONDS_MAX = 60.0

log = structlog.get_logger(__name__)


async def run_region(settings: Settings, region: str) -> None:
    """Work for ``region`` until SIGTERM or SIGINT, then drain.

    Raises:
        NotFound: the settings lack the region, its bucket or the origin.
        UsageError: the streams can't honour a property of Kafka's connection; it is named.
        ModelcastError: the health port is taken, or Kafka refuses us for good.
    """
    agent_connection(settings)  # refuses what the streams can't honour before anything runs
    worker = _Worker(settings, region)
    try:
        await worker.run(stop_on_signals())
    finally:
        await worker.close()


class _Worker:
    """Everything that one worker is made of."""

    def __init__(self, settings: Settings, region: str) -> None:
        here = settings.region(region)
        name = settings.daemon.worker or f"{socket.gethostname()}-{os.getpid()}"
        self._settings = settings
        self._region = region
        origin, own = origin_store(settings), region_store(settings, region)
        self._trouble = NOT_CONNECTED
        self._stores = ThreadPoolExecutor(STORE_THREADS, thread_name_prefix="stores")
        self._fetches = ThreadPoolExecutor(FETCH_THREADS, thread_name_prefix="fetches")
        self._small_fetches = ThreadPoolExecutor(SMALL_FETCH_THREADS, thread_name_prefix="small-fetches")
        cache = ArtifactCache(here.cache_dir or data_dir(settings, f"cache-{region}"), here.cache_size_max_bytes)
        self._outbox = Outbox(settings, f"region {region} worker {name}")
        self._origin_reads = ThreadPoolExecutor(ORIGIN_READ_THREADS, thread_name_prefix="origin-reads")
        self._fleets = RegionFleets(here, own, self._pods_changed)
        watched = BreakerStore(origin)
        self._watch = RegistryWatch(watched, own, registry_opener(settings, watched))
        self._spans, steps = span_sink("modelcast-region", os.environ), LoggedSteps()
        spoken = SpanOutbox(self._outbox, self._spans) if self._spans else self._outbox
        self._reporter = SnapshotReporter(spoken, name, here.report_seconds)
        self._link = long_link(here, own, cache)
        disk = Disk(settings, own, cache, self._kept, self._versions, self._link, fetch_accelerator(settings))
        ports = RegionPorts(
            region=region,
            pods=self._fleets.roster.pods,
            artifacts=disk,
            reporter=self._reporter,
            stores=self._stores,
            fetches=self._fetches,
            small_fetches=self._small_fetches,
            origin_reads=self._origin_reads,
            load_seconds_max=here.pod_timeout_seconds,
            roster=self._fleets.roster,
            traffic=TrafficPorts(OriginTables(watched), self._outbox, name),
            observer=SpanSteps(self._spans, region, steps) if self._spans else steps,
        )
        self._agent = RegionAgent(
            region,
            here,
            owner=f"{name}#{secrets.token_hex(4)}",
            ports=ports,
            region_store=own,
            watch=self._watch,
            reporter=self._reporter,
        )
        answers = ProbeAnswers(self._outbox, region, name)
        self._intake = UpdateIntake(self._agent, self._watch, partial(self._prefetch, disk), answer=answers.take)
        self._heartbeats = HeartbeatSender(
            self._outbox,
            region,
            name,
            self._agent,
            here.heartbeat_seconds,
            disk=cache,
            link=disk,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set."""
        daemon = self._settings.daemon
        leave = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload_limit, self._link, self._region)
        tokens = daemon.metrics_tokens
        with HealthServer(daemon.host, daemon.port, self._alive, self._ready, metrics_tokens=tokens) as health:
            log.info("the region agent runs", pods=sorted(self._fleets.roster.pods), health=health.url)
            beside = [
                asyncio.create_task(self._agent.watch(partial(_topics, self._settings))),
                asyncio.create_task(self._heartbeats.run()),
                asyncio.create_task(self._fleets.run()),
                asyncio.create_task(self._drain_then(stop, leave)),
            ]
            try:
                await run_app(self._build, self._settings, stop=leave, on_state=self._on_state)
            finally:
                for task in beside:
                    task.cancel()
                await asyncio.gather(*beside, return_exceptions=True)

    async def close(self) -> None:
        """Close every connection and stop every thread."""
        self._intake.close()
        await self._agent.close()
        await self._fleets.roster.aclose()
        await asyncio.to_thread(self._outbox.close, FLUSH_SECONDS)
        if self._spans is not None:
            await asyncio.to_thread(self._spans.close)
        for pool in (self._fetches, self._small_fetches):
            pool.shutdown(wait=False, cancel_futures=True)
        for pool in (self._stores, self._origin_reads):
            pool.shutdown(wait=False, cancel_futures=True)
        log.info("the region agent has ended")

    def _prefetch(self, disk: Disk, update: ModelUpdate) -> None:
        with suppress(RuntimeError):  # we are ending
            self._origin_reads.submit(disk.prefetch, update)

    def _pods_changed(self, known: PodsKnown) -> None:
        self._agent.pods_changed(known)

    def _kept(self) -> frozenset[str]:
        return self._agent.digests_kept()

    def _versions(self, model: str) -> Mapping[int, str]:
        return self._agent.versions(model)

    def _build(self) -> PositionedApp:
        return build_app(self._settings, self._region, self._agent, self._intake)

    def _on_state(self, trouble: str) -> None:
        self._trouble = trouble

    async def _drain_then(self, stop: asyncio.Event, leave: asyncio.Event) -> None:
        """Still a member of the group while loads end: no other worker takes over what is about to be done."""
        await stop.wait()
        log.info("draining")
        try:
            await self._agent.drain(self._settings.daemon.drain_seconds)
            self._reporter.flush()
            self._heartbeats.beat(draining=True)
        finally:
            leave.set()

    def _alive(self) -> str:
        late = time.monotonic() - self._heartbeats.beat_at
        return f"no heartbeat for {late:.0f} s" if late > ALIVE_SECONDS_MAX else ""

    def _ready(self) -> str:
        return self._trouble or self._agent.trouble


def _topics(settings: Settings) -> None:
    """A cluster that lost its data gets its topics again, before a client's first message makes wrong ones."""
    with suppress(ModelcastError):
        create_topics(settings)
