"""Running one worker of the rollout controller from its settings until it is stopped."""

import asyncio
import os
import socket
from concurrent.futures import ThreadPoolExecutor

import structlog

from modelcast.agents.rollout.agent import RolloutAgent
from modelcast.agents.rollout.app import build_app
from modelcast.agents.rollout.ports import RolloutPorts
from modelcast.infra.kafka.agent_connection import agent_connection
from modelcast.infra.kafka.faust_app import run_app, stop_on_signals
from modelcast.infra.kafka.outbox import Outbox
from modelcast.infra.registry.configured import registry_of
from modelcast.infra.settings import Settings
from modelcast.infra.telemetry.health import HealthServer
from modelcast.infra.telemetry.pulse import Pulse, run_forever

THREADS = 16
CLOSE_SECONDS = 3.0

log = structlog.get_logger(__name__)


async def run_rollouts(settings: Settings) -> None:
    """Run the rollout controller until SIGTERM or SIGINT.

    Raises:
        UsageError: the streams can't honour a property of Kafka's connection; it is named.
        ModelcastError: the settings name no origin store, or the health port can't be taken.
    """
    agent_connection(settings)  # refuses what the streams can't honour before anything runs
    worker = settings.daemon.worker or f"{socket.gethostname()}-{os.getpid()}"
    stop = stop_on_signals()
    reader = registry_of(settings)
    outbox, threads = Outbox(settings, f"rollouts {worker}"), ThreadPoolExecutor(THREADS, thread_name_prefix="stores")
    agent = RolloutAgent(tuple(sorted(settings.regions)), reader, worker, RolloutPorts(outbox, threads))
    pulse = Pulse()

    def ready() -> str:
        if pulse.trouble:
            return pulse.trouble
        return "" if agent.listed else "the registry was not listed yet"

    background = [asyncio.create_task(run_forever("rollouts", agent.run)), asyncio.create_task(pulse.beat())]
    try:
        with HealthServer(settings.daemon.host, settings.daemon.port, live=pulse.live, ready=ready) as health:
            log.info("the rollout controller starts", worker=worker, health=health.url)
            await run_app(lambda: build_app(settings, agent), settings, stop=stop, on_state=pulse.on_state)
    finally:
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        await agent.revoked()
        threads.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(outbox.close, CLOSE_SECONDS)
        log.info("the rollout controller stopped", worker=worker)
