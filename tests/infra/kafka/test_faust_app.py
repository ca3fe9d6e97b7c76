"""An app of ours on real Kafka."""

import asyncio

import pytest
from confluent_kafka.admin import ConfigResource, ResourceType

from modelcast.infra.kafka.client import make_admin
from modelcast.infra.kafka.faust_app import make_app, run_app
from modelcast.infra.kafka.faust_consumer import PositionedApp
from modelcast.infra.settings import KafkaSettings, Settings
from modelcast.schemas.topics import MODEL_PARTITIONS

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
