"""Kafka loses everything: nothing that is served changes, and what is published afterwards arrives."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelcast.infra.kafka.admin import create_topics, topic_ids
from modelcast.infra.kafka.client import make_admin
from modelcast.infra.local.servers.kafka import KafkaServer
from modelcast.infra.local.stack import LocalStack
from modelcast.infra.settings import KafkaSettings, Settings
from modelcast.schemas.topics import Topic
from tests.support.network.slow_link import Network
from tests.support.network.traffic import Traffic
from tests.support.processes.command_line import CommandLine, pods_of, predicts
from tests.support.waiting import until

pytestmark = pytest.mark.integration


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[LocalStack]:
    with LocalStack.start(tmp_path / "stack", regions=("eu",), pods_per_region=1) as stack:
        yield stack


@pytest.mark.soak
def test_topics_keep_their_ids_until_they_are_made_anew(kafka_of_its_own: KafkaServer) -> None:
    settings = Settings(kafka=KafkaSettings(bootstrap_servers=kafka_of_its_own.bootstrap_servers, timeout_seconds=30))
    assert topic_ids(settings) == {}
    create_topics(settings)
    first = topic_ids(settings)
    assert sorted(first) == sorted(Topic)
    kafka_of_its_own.restart()
    assert topic_ids(settings) == first
    admin = make_admin(settings)
    admin.delete_topics([Topic.MODEL_ACKS.value])[Topic.MODEL_ACKS.value].result(20)
    until(lambda: Topic.MODEL_ACKS not in topic_ids(settings), "it is gone")
    create_topics(settings)
    assert {name for name, topic_id in topic_ids(settings).items() if topic_id != first[name]} == {Topic.MODEL_ACKS}


@pytest.mark.soak
@pytest.mark.timeout(400)
def test_an_empty_cluster_in_its_place_changes_nothing_served_and_new_versions_flow(
    own_stack: LocalStack, tmp_path: Path
) -> None:
    modelcast = CommandLine(own_stack.env, tmp_path)
    modelcast("publish", "fraud", modelcast.model(1), "--wait")
    modelcast("publish", "fraud", modelcast.model(2), "--wait")
    old = own_stack.services["kafka"]
    assert isinstance(old, KafkaServer)
    with Network() as network:
        traffic = Traffic(network, pods_of(own_stack.env), {"fraud": float}, rate=10)
        old.kill()
        claimed = modelcast("publish", "fraud", modelcast.model(3), code=7, MODELCAST_KAFKA__TIMEOUT_SECONDS="2")
        assert "fraud/3" in claimed.err
        new = KafkaServer.start(tmp_path / "another-kafka", port=old.port)
        own_stack.services["kafka"] = new
        assert new.cluster_id != old.cluster_id
        # Agents find out, make the topics again and start again on them.
        pod = pods_of(own_stack.env)[0]
        until(lambda: predicts(pod, "fraud") == (3, 3.0), "what was claimed meanwhile is served", 100)
        modelcast("wait", "fraud/3", "--timeout", "100s")
        modelcast("publish", "fraud", modelcast.model(4), "--wait", "--timeout", "60s")
        tally = traffic.stop()
    assert tally.clean, tally.examples
    assert list(dict.fromkeys(version for _, version in tally.answered)) == [2, 3, 4]
    assert own_stack.services["tracker"].child.running
    assert own_stack.services["region-eu"].child.running
