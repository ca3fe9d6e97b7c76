"""An app of ours on real Kafka."""

import asyncio
import re
from typing import Any

import pytest
from confluent_kafka import Consumer
from confluent_kafka.admin import ConfigResource, ResourceType

from modelcast.infra.kafka.admin import create_topics
from modelcast.infra.kafka.client import make_admin, make_producer
from modelcast.infra.kafka.faust_app import BYTES, make_app, run_app
from modelcast.infra.kafka.faust_consumer import PositionedApp
from modelcast.infra.kafka.groups import strangers
from modelcast.infra.settings import KafkaSettings, Settings
from modelcast.schemas.topics import MODEL_PARTITIONS, TopicSpec
from tests.support.waiting import until_async

pytestmark = pytest.mark.integration

CHANGELOG = "modelcast-tester-rows-changelog"


async def test_the_changelogs_of_tables_can_be_used_before_the_app_joins_its_group(kafka: str) -> None:
    settings = Settings(kafka=KafkaSettings(bootstrap_servers=kafka, timeout_seconds=20))
    admin, stop, found = make_admin(settings), asyncio.Event(), {}

    def build() -> PositionedApp:
        app = make_app(settings, "tester")
        app.Table("rows", key_type=bytes, value_type=bytes, extra_topic_configs={"segment.ms": "600000"})

        async def start() -> None:
            topic = admin.list_topics(timeout=20).topics.get(CHANGELOG)
            assert topic is not None, "Faust would join before the broker knows of it"
            found["partitions"] = len(topic.partitions)
            (config,) = admin.describe_configs([ConfigResource(ResourceType.TOPIC, CHANGELOG)]).values()
            found["config"] = config.result(20)
            stop.set()

        app.start = start  # type: ignore[method-assign]
        return app

    await asyncio.wait_for(run_app(build, settings, stop=stop), 90)
    assert found["partitions"] == MODEL_PARTITIONS
    assert found["config"]["cleanup.policy"].value == "compact"
    assert found["config"]["segment.ms"].value == "600000"


@pytest.mark.soak
async def test_an_app_whose_group_refuses_it_says_so_and_reads_once_the_stranger_has_left(kafka: str) -> None:
    settings = Settings(kafka=KafkaSettings(bootstrap_servers=kafka, timeout_seconds=20))
    create_topics(settings, specs=[TopicSpec("refused-in", MODEL_PARTITIONS, {})])
    stranger = Consumer(
        {
            "bootstrap.servers": kafka,
            "client.id": "a stranger",
            "group.id": "modelcast-refused",
            "partition.assignment.strategy": "range",
        }
    )
    stranger.subscribe(["refused-in"])
    await until_async(
        lambda: stranger.poll(0) is None and bool(stranger.assignment()), "the stranger has the group", 30
    )
    stop, states, got = asyncio.Event(), [], []

    def build() -> PositionedApp:
        app = make_app(settings, "refused")

        @app.agent(app.topic("refused-in", schema=BYTES), name="reading")
        async def reading(stream: Any) -> None:
            async for event in stream.events():
                got.append(event.message.value)  # noqa: PERF401

        return app

    running = asyncio.create_task(run_app(build, settings, stop=stop, on_state=states.append))
    try:
        refused = lambda: any("InconsistentGroupProtocolError" in state for state in states)  # noqa: E731
        await until_async(refused, lambda: f"it says why: {states}", 40)
        assert "" not in states, "it never ran"
        assert "modelcast-refused" in states[0]
        groups = ["modelcast-refused", "modelcast-empty"]
        found = await asyncio.to_thread(strangers, settings, groups)
        assert list(found) == groups[:1]
        assert re.fullmatch(r"a stranger at \S+ \(assignor range\)", found["modelcast-refused"])
        stranger.close()
        await until_async(lambda: states[-1] == "", lambda: f"it runs: {states}", 50)
        producer = make_producer(settings)
        producer.produce("refused-in", key=b"k", value=b"after")
        assert producer.flush(20) == 0
        await until_async(lambda: got == [b"after"], lambda: f"it reads: {got}", 30)
        assert await asyncio.to_thread(strangers, settings, groups) == {}
    finally:
        stop.set()
        await asyncio.wait_for(running, 60)
