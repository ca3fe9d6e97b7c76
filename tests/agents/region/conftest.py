"""A Kafka of these tests' own: agents use the real topic names."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelcast.infra.kafka.admin import create_topics
from modelcast.infra.local.servers.kafka import KafkaServer
from modelcast.producers import Commander, Publisher
from tests.agents.region.stack import Stack, Topics
from tests.support.servers.stores import S3ForTests


@pytest.fixture(scope="package")
def region_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = KafkaServer.start(tmp_path_factory.mktemp("region-kafka"))
    yield server.bootstrap_servers
    server.stop()


@pytest.fixture
def make_stack(
    s3: S3ForTests, region_kafka: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Stack]]:
    """Makes a stack with fresh buckets; everything of it is gone after the test."""
    made: list[Stack] = []

    def make(**options: object) -> Stack:
        stack = Stack(tmp_path, options.pop("kafka", region_kafka), s3, **options)  # type: ignore[arg-type]
        made.append(stack)
        stack.use(monkeypatch)
        create_topics(stack.settings)
        return stack

    yield make
    for stack in made:
        stack.stop()


@pytest.fixture
def stack(make_stack: Callable[..., Stack]) -> Stack:
    return make_stack()


@pytest.fixture
def topics(stack: Stack) -> Iterator[Topics]:
    topics = Topics(stack.settings)
    yield topics
    topics.close()


@pytest.fixture
def publisher(stack: Stack) -> Iterator[Publisher]:
    with Publisher(stack.settings) as publisher:
        yield publisher


@pytest.fixture
def commander(stack: Stack) -> Iterator[Commander]:
    with Commander(stack.settings) as commander:
        yield commander
