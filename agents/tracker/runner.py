"""Running one tracker worker from its settings until it is stopped."""

import asyncio
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import structlog
from prometheus_client import REGISTRY

from modelcast.agents import history
from modelcast.agents.tracker.acks.epoch_proofs import RegionStates
from modelcast.agents.tracker.agent import TrackerAgent
from modelcast.agents.tracker.app import build_app
from modelcast.agents.tracker.follower import Follower
from modelcast.agents.tracker.ports import TrackerPorts
from modelcast.agents.tracker.spans import FoldSpans, SpanSender
from modelcast.infra.kafka.agent_connection import agent_connection
from modelcast.infra.kafka.faust_app import run_app, stop_on_signals
from modelcast.infra.kafka.outbox import Outbox
from modelcast.infra.redis_view import RedisMirror
from modelcast.infra.registry.configured import registry_of
from modelcast.infra.settings import Settings
from modelcast.infra.telemetry.health import HealthServer
from modelcast.infra.telemetry.pulse import Pulse, run_forever
from modelcast.infra.telemetry.tracing import span_sink

CLOSE_SECONDS = 3.0
THREADS, LOOK_THREADS = 8, 32

log = structlog.get_logger(__name__)


async def run_tracker(settings: Settings) -> None:
    """Run a tracker until SIGTERM or SIGINT.

    Raises:
        UsageError: the streams can't honour a property of Kafka's connection; it is named.
        ModelcastError: the settings name no origin store, or the health port can't be taken.
    """
    agent_connection(settings)  # refuses what the streams can't honour before anything runs
    worker = settings.daemon.worker or f"{socket.gethostname()}-{os.getpid()}"
    stop = stop_on_signals()
    reader = registry_of(settings)
    outbox, threads = Outbox(settings, f"tracker {worker}"), ThreadPoolExecutor(THREADS, thread_name_prefix="stores")
    follower = Follower(settings)
    looks = ThreadPoolExecutor(LOOK_THREADS, thread_name_prefix="regions")
    ports = TrackerPorts(
        sender=outbox,
        open_view=lambda registry_id: RedisMirror(settings, registry_id),
        published=follower,
        stores=threads,
        regions=looks,
        epoch_of=RegionStates(settings).epoch,
    )
    if (spans := span_sink("modelcast-tracker", os.environ)) is not None:
        ports = replace(ports, sender=SpanSender(outbox))
    agent, pulse = TrackerAgent(settings, reader, worker, ports), Pulse()
    if spans is not None:
        agent.emitter.listen(FoldSpans(spans))

    def ready() -> str:
        if pulse.trouble:
            return pulse.trouble
        return "" if agent.emitter.settled else "partitions are changing hands"

    parts = agent.parts | {
        "follower": lambda: follower.run(agent.intake.heartbeat, agent.heartbeats_are_read),
        "pulse": pulse.beat,
        "beat": agent.mirror.beat,
    }

    REGISTRY.register(agent.emitter.metrics)
    background = [asyncio.create_task(run_forever(name, run)) for name, run in parts.items()]
    try:
        with (
            HealthServer(
                settings.daemon.host,
                settings.daemon.port,
                pulse.live,
                ready,
                metrics_tokens=settings.daemon.metrics_tokens,
            ) as health,  # fmt: skip
            history.plugged(settings, reader, outbox, agent.rows) as recorded,
        ):
            for listener in recorded:
                agent.emitter.listen(listener)
            log.info("tracker starts", worker=worker, health=health.url)
            await run_app(lambda: build_app(settings, agent), settings, stop=stop, on_state=pulse.on_state)
    finally:
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        REGISTRY.unregister(agent.emitter.metrics)
        for pool in (threads, looks):
            pool.shutdown(wait=False, cancel_futures=True)
        await agent.close(CLOSE_SECONDS)
        await asyncio.to_thread(outbox.close, CLOSE_SECONDS)
        if spans is not None:
            await asyncio.to_thread(spans.close)
        log.info("tracker stopped", worker=worker)
