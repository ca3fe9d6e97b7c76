"""Topics, announcements and partitioners on a real broker."""

import socket
import threading
import time
import uuid

import pytest

from modelcast.infra.kafka import admin as kafka_admin
from modelcast.infra.kafka.announcer import KafkaAnnouncer
from modelcast.infra.kafka.client import make_admin, make_consumer, make_producer, read_partition
from modelcast.infra.local.servers.kafka import KafkaServer
from modelcast.infra.settings import KafkaSettings, Settings
from modelcast.schemas.errors import KafkaUnavailable
from modelcast.schemas.topics import MODEL_PARTITIONS, TOPICS, Topic, partition_of

pytestmark = pytest.mark.integration


def settings_for(servers: str, timeout_seconds: float = 10.0) -> Settings:
    return Settings(kafka=KafkaSettings(bootstrap_servers=servers, timeout_seconds=timeout_seconds))


@pytest.fixture(scope="session")
def settings(kafka: str) -> Settings:
    settings = settings_for(kafka)
    kafka_admin.create_topics(settings)
    return settings


def values(settings: Settings, topic: str, partition: int) -> list[tuple[bytes | None, bytes | None]]:
    consumer = make_consumer(settings)
    try:
        return [
            (m.key(), m.value()) for m in read_partition(consumer, settings, topic, partition, timeout_seconds=10.0)
        ]
    finally:
        consumer.close()


def test_creating_topics_again_creates_nothing_and_finds_nothing_wrong(settings: Settings) -> None:
    assert kafka_admin.create_topics(settings) == ()
    assert kafka_admin.check_topics(settings) == []


def test_the_description_names_brokers_topics_and_partitions(settings: Settings, kafka: str) -> None:
    cluster = kafka_admin.describe(settings)
    assert cluster.brokers == (kafka,)
    assert cluster.cluster_id
    assert {t.name: t.partitions for t in cluster.topics} == {str(s.name): s.partitions for s in TOPICS}


def test_a_broker_tells_its_release(settings: Settings) -> None:
    assert kafka_admin.broker_version(settings) == "4.0 or newer"


def test_a_topic_set_up_by_somebody_else_is_found_wrong(kafka_of_its_own: object) -> None:
    settings = settings_for(kafka_of_its_own.bootstrap_servers)  # type: ignore[attr-defined]
    wrong = kafka_admin.NewTopic(str(Topic.VERSION_STATE), 3, 1, config={"message.timestamp.type": "CreateTime"})
    admin = make_admin(settings)
    for future in admin.create_topics([wrong]).values():
        future.result(10)
    before = kafka_admin.check_topics(settings)
    assert {f.subject for f in before} == {str(s.name) for s in TOPICS}
    created = kafka_admin.create_topics(settings)
    assert set(created) == {str(s.name) for s in TOPICS} - {"version-state"}
    findings = kafka_admin.check_topics(settings)
    assert {f.subject for f in findings} == {"version-state"}
    told = " ".join(f.problem for f in findings)
    assert "3 partitions" in told
    assert "cleanup.policy is 'delete'" in told
    assert "CreateTime" in told


def test_an_announcement_is_on_the_cluster_when_it_returns_in_aiokafkas_partition(settings: Settings) -> None:
    key, value = f"model-{uuid.uuid4().hex[:12]}", uuid.uuid4().bytes
    with KafkaAnnouncer(settings) as announcer:
        assert announcer.warm(Topic.MODEL_UPDATES)
        announcer.announce(Topic.MODEL_UPDATES, key, value, timeout_seconds=10)
    assert (key.encode(), value) in values(settings, Topic.MODEL_UPDATES, partition_of(key))


def test_announcements_from_several_threads_are_all_confirmed(settings: Settings) -> None:
    key, count = f"model-{uuid.uuid4().hex[:12]}", 40
    with KafkaAnnouncer(settings) as announcer:

        def say(worker: int) -> None:
            for number in range(count // 4):
                announcer.announce(Topic.MODEL_UPDATES, key, f"{worker}:{number}".encode(), timeout_seconds=10)

        threads = [threading.Thread(target=say, args=(w,)) for w in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    said = [v for k, v in values(settings, Topic.MODEL_UPDATES, partition_of(key)) if k == key.encode()]
    assert sorted(said) == sorted(f"{w}:{n}".encode() for w in range(4) for n in range(count // 4))


def test_a_cluster_that_is_away_is_known_in_time_and_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        settings = settings_for(address, timeout_seconds=1.0)
        began = time.monotonic()
        with KafkaAnnouncer(settings) as announcer, pytest.raises(KafkaUnavailable, match=address):
            announcer.announce(Topic.MODEL_UPDATES, "fraud", b"x", timeout_seconds=1.0)
        with pytest.raises(KafkaUnavailable, match=address):
            kafka_admin.check_topics(settings)
        with pytest.raises(KafkaUnavailable, match=address):
            kafka_admin.create_topics(settings)
        assert time.monotonic() - began < 60


def test_a_topic_that_is_missing_is_named_with_what_mends_it(settings: Settings) -> None:
    with KafkaAnnouncer(settings) as announcer, pytest.raises(KafkaUnavailable, match="modelcast topics --create"):
        announcer.announce(f"missing-{uuid.uuid4().hex[:8]}", "fraud", b"x", timeout_seconds=15)


@pytest.mark.soak
def test_records_that_another_partitioner_placed_are_found(kafka_of_its_own: KafkaServer) -> None:
    settings = settings_for(kafka_of_its_own.bootstrap_servers)
    kafka_admin.create_topics(settings)
    assert kafka_admin.misplaced(settings, Topic.MODEL_UPDATES) == []
    producer = make_producer(settings)
    producer.produce(str(Topic.MODEL_UPDATES), key=b"fraud", value=b"placed by murmur2")
    wrong = (partition_of("lost") + 1) % MODEL_PARTITIONS
    producer.produce(str(Topic.MODEL_UPDATES), key=b"lost", value=b"placed by hand", partition=wrong)
    assert producer.flush(10) == 0
    assert kafka_admin.misplaced(settings, Topic.MODEL_UPDATES) == ["lost"]


def test_dead_letters_that_may_fill_the_disks_are_a_warning() -> None:
    spec = next(spec for spec in TOPICS if spec.name is Topic.DEAD_LETTERS)
    config = {**spec.config, "retention.bytes": "-1"}
    (finding,) = kafka_admin.differences(spec, kafka_admin.TopicDescription(str(spec.name), 1, 1, config))
    assert finding.severity == "warning"
    assert "retention.bytes" in finding.problem
    assert f"--add-config retention.bytes={spec.config['retention.bytes']}" in finding.hint
    assert int(spec.config["segment.bytes"]) * 4 <= int(spec.config["retention.bytes"])  # only whole segments go
