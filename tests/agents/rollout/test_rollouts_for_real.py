"""The rollout controller on a real Kafka: it hears regions, claims entries, and tells how it stands."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from modelcast.agents.rollout.agent import RolloutAgent
from modelcast.agents.rollout.app import build_app
from modelcast.agents.rollout.ports import RolloutPorts
from modelcast.infra.kafka.admin import create_topics
from modelcast.infra.kafka.client import make_consumer, read_partition
from modelcast.infra.kafka.faust_app import run_app
from modelcast.infra.kafka.outbox import Outbox
from modelcast.infra.local.servers.kafka import KafkaServer
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.settings import DaemonSettings, KafkaSettings, Settings
from modelcast.infra.stores import MemoryStore
from modelcast.producers import OutcomeReporter
from modelcast.schemas.codec import decode_as, encode
from modelcast.schemas.topics import Topic, partition_of
from modelcast.schemas.traffic.grant import RolloutPhase
from modelcast.schemas.traffic.reports import RolloutState
from modelcast.schemas.traffic.table import decode_table
from tests.agents.rollout.fleet import PLAN, ReportingFleet, store_with_rollout
from tests.support.waiting import until_async

pytestmark = [pytest.mark.integration, pytest.mark.soak, pytest.mark.timeout(180)]


async def test_a_bad_candidate_is_out_and_everybody_can_read_why(
    kafka_of_its_own: KafkaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(
        kafka=KafkaSettings(bootstrap_servers=kafka_of_its_own.bootstrap_servers),
        daemon=DaemonSettings(data_dir=tmp_path / "data"),
    )
    create_topics(settings)
    store: MemoryStore = store_with_rollout(tmp_path, monkeypatch, PLAN)
    reader, stop, running = RegistryReader(store), asyncio.Event(), []
    outbox = Outbox(settings, "rollouts test")
    with ThreadPoolExecutor(4) as threads, OutcomeReporter(settings) as reporter:
        agent = RolloutAgent(("eu",), reader, "a", RolloutPorts(outbox, threads))
        beside = asyncio.create_task(agent.run())
        app = asyncio.create_task(
            run_app(lambda: build_app(settings, agent), settings, stop=stop, on_state=running.append)
        )
        fleet = ReportingFleet(store, reader.tail("fraud").log)

        def over() -> bool:
            reporter.report("fraud", "ctr", 1, version=2, outcome_id="click-1")
            for record in fleet.second((0.02, 0.5)):
                outbox.send(Topic.TRAFFIC_COUNTS, "fraud", encode(record))
            rollout = reader.tail("fraud").log.rollout
            return rollout is not None and rollout.phase is RolloutPhase.ABORTED

        try:
            await until_async(over, lambda: f"aborted; running: {running}", 120, every=0.3)
            table = fleet.table()
            assert table is not None
            await until_async(lambda: (found := fleet.table()) is not None and found.share == 0, "no share is left", 30)
        finally:
            stop.set()
            beside.cancel()
            with suppress(asyncio.CancelledError):
                await beside
            await app
            await agent.revoked()
            await asyncio.to_thread(outbox.close, 5.0)

    def newest(topic: Topic) -> bytes:
        consumer = make_consumer(settings)
        try:
            found = list(read_partition(consumer, settings, topic, partition_of("fraud"), timeout_seconds=30))
            return found[-1].value() or b""
        finally:
            consumer.close()

    assert decode_table(newest(Topic.TRAFFIC_STATE)).share == 0
    state = decode_as(RolloutState, newest(Topic.ROLLOUT_STATE))
    assert state.phase == "ABORTED"
    assert "harmful" in state.why
    assert [(each.name, each.candidate_count) for each in state.outcomes] == [("ctr", 1)], (
        "reported often, counted once"
    )
