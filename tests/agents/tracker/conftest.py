"""A Kafka of these tests' own, and a tracker's rig on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelcast.infra.local.servers.kafka import KafkaServer
from tests.agents.tracker.bench import Bench
from tests.agents.tracker.rig import Rig
from tests.support.servers.stores import S3ForTests


@pytest.fixture(scope="package")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """Nobody else's: the tests use the real topics' names."""
    server = KafkaServer.start(tmp_path_factory.mktemp("kafka"))
    yield server
    server.stop()


@pytest.fixture
def rig(broker: KafkaServer, s3: S3ForTests, redis_url: str, tmp_path: Path) -> Iterator[Rig]:
    made = Rig(broker.bootstrap_servers, s3, redis_url, tmp_path)
    yield made
    made.stop_all()
    for tracker in made.trackers:  # shown if the test failed
        print(f"--- {tracker.log.name}\n{tracker.log.read_text()[-6000:]}")


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()
