"""An app whose consumer group can't be joined for a while: it reads once it can, without a restart."""

import asyncio
import time
from typing import Any

import pytest
from confluent_kafka import Consumer
from structlog.testing import capture_logs

from modelcast.infra.kafka.admin import create_topics
from modelcast.infra.kafka.client import make_producer
from modelcast.infra.kafka.faust_app import BYTES, NOT_CONNECTED, make_app, run_app
from modelcast.infra.kafka.faust_consumer import PositionedApp
from modelcast.infra.kafka.groups import strangers
from modelcast.infra.settings import KafkaSettings, Settings
from modelcast.schemas.topics import TopicSpec

pytestmark = pytest.mark.integration

NAME, TOPIC = "visited", "visited-in"
WITHIN_SECONDS = 40.0


def stranger(kafka: str) -> Consumer:
    """A member of the app's group whose protocol the app does not speak. Returns once it has joined."""
    consumer = Consumer(
        {
            "bootstrap.servers": kafka,
            "group.id": f"modelcast-{NAME}",
            "partition.assignment.strategy": "roundrobin",
            "session.timeout.ms": 10_000,
        }
    )
    consumer.subscribe([TOPIC])
    deadline = time.monotonic() + WITHIN_SECONDS
    while not consumer.assignment():
        consumer.poll(0.2)
        assert time.monotonic() < deadline, "the stranger has not joined"
    return consumer


async def test_a_stranger_in_the_group_keeps_the_app_out_only_while_he_is_there(kafka: str) -> None:
    settings = Settings(kafka=KafkaSettings(bootstrap_servers=kafka, timeout_seconds=20))
    create_topics(settings, specs=[TopicSpec(TOPIC, 1, {})])
    other = await asyncio.to_thread(stranger, kafka)
    stop, got = asyncio.Event(), asyncio.Event()
    states: list[str] = []

    def build() -> PositionedApp:
        app = make_app(settings, NAME)

        @app.agent(app.topic(TOPIC, schema=BYTES), concurrency=1, name="reading")
        async def reading(stream: Any) -> None:
            async for _ in stream.events():
                got.set()

        return app

    with capture_logs() as logs:
        running = asyncio.create_task(run_app(build, settings, stop=stop, on_state=states.append))
        try:
            async with asyncio.timeout(WITHIN_SECONDS):
                while not any("InconsistentGroupProtocol" in str(row.get("error")) for row in logs):
                    await asyncio.to_thread(other.poll, 0.1)
                while not (states and "InconsistentGroupProtocol" in states[-1]):
                    await asyncio.sleep(0.05)
            assert "" not in states, "it never ran"
            assert f"modelcast-{NAME}:" in states[-1]
            found = await asyncio.to_thread(strangers, settings, [f"modelcast-{NAME}", "modelcast-of-nobody"])
            assert list(found) == [f"modelcast-{NAME}"]
            assert found[f"modelcast-{NAME}"].endswith("(assignor roundrobin)")
            await asyncio.to_thread(other.close)
            producer = make_producer(settings)
            producer.produce(TOPIC, key=b"k", value=b"v")
            assert producer.flush(20) == 0
            await asyncio.wait_for(got.wait(), WITHIN_SECONDS)
            async with asyncio.timeout(WITHIN_SECONDS):
                while states[-1]:
                    await asyncio.sleep(0.05)
            assert await asyncio.to_thread(strangers, settings, [f"modelcast-{NAME}"]) == {}, "our own is none"
        finally:
            stop.set()
            await asyncio.wait_for(running, WITHIN_SECONDS)
    assert states[-1] == NOT_CONNECTED
    assert not [row for row in logs if "made anew" in row["event"]], "no app was lost over it"
