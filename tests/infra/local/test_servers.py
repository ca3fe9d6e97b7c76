"""The embedded servers do what the rest of the project takes for granted."""

import time
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from redis import Redis

from modelcast.infra.local.servers.kafka import KafkaServer, cluster_at
from modelcast.infra.local.servers.redis import RedisServer
from modelcast.infra.local.servers.s3 import client_for
from tests.support.servers.stores import S3ForTests

pytestmark = pytest.mark.integration


def read_one(bootstrap_servers: str, topic: str) -> tuple[bytes, int]:
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": topic, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    deadline = time.monotonic() + 20
    try:
        while time.monotonic() < deadline:
            message = consumer.poll(0.2)
            if message is not None and message.error() is None:
                return message.value() or b"", message.timestamp()[0]
    finally:
        consumer.close()
    raise AssertionError("nothing arrived")


def send(bootstrap_servers: str, topic: str, value: bytes) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    admin.create_topics([NewTopic(topic, 1)])[topic].result(10)
    producer = Producer({"bootstrap.servers": bootstrap_servers, "acks": "all"})
    producer.produce(topic, value)
    assert producer.flush(10) == 0


@pytest.mark.soak
def test_kafka_keeps_what_it_acknowledged_over_a_kill(kafka_of_its_own: KafkaServer) -> None:
    send(kafka_of_its_own.bootstrap_servers, "kept", b"still here")
    port = kafka_of_its_own.port
    kafka_of_its_own.kill()
    assert cluster_at(kafka_of_its_own.bootstrap_servers) is None
    kafka_of_its_own.restart()
    assert kafka_of_its_own.port == port
    assert read_one(kafka_of_its_own.bootstrap_servers, "kept")[0] == b"still here"


def test_kafka_stamps_records_with_the_brokers_clock(kafka: str) -> None:
    send(kafka, "stamped", b"x")
    log_append_time = 2
    assert read_one(kafka, "stamped")[1] == log_append_time


@pytest.mark.soak
def test_each_new_kafka_is_another_cluster(kafka: str, kafka_of_its_own: KafkaServer) -> None:
    assert cluster_at(kafka_of_its_own.bootstrap_servers) == kafka_of_its_own.cluster_id
    assert cluster_at(kafka) not in {None, kafka_of_its_own.cluster_id}


def conditional_puts(server: S3ForTests) -> list[int]:
    bucket = server.bucket()
    client = client_for(server.endpoint_url)
    statuses = []
    for body in (b"first", b"second"):
        try:
            client.put_object(Bucket=bucket, Key="k", Body=body, IfNoneMatch="*")
            statuses.append(200)
        except ClientError as error:
            statuses.append(error.response["ResponseMetadata"]["HTTPStatusCode"])
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"first"
    return statuses


def test_embedded_s3_honours_conditional_puts(s3: S3ForTests) -> None:
    assert conditional_puts(s3) == [200, 412]


@pytest.mark.real
def test_versitygw_honours_conditional_puts(versitygw: S3ForTests) -> None:
    assert conditional_puts(versitygw) == [200, 412]


def test_redis_answers(redis_url: str) -> None:
    with Redis.from_url(redis_url) as client:
        assert client.set("a", "b", nx=True, px=60_000)
        assert client.get("a") == b"b"


@pytest.mark.real
def test_debian_redis_answers(debian_redis: str) -> None:
    with Redis.from_url(debian_redis) as client:
        assert client.ping()


def test_the_imitation_says_so_and_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Steps:
        said = ""

        def step(self, text: str) -> None:
            self.said += text

    steps = Steps()
    monkeypatch.setattr("modelcast.infra.local.servers.redis.find_executable", lambda: None)
    server = RedisServer.start(tmp_path, progress=steps)
    try:
        assert "fakeredis" in steps.said
        assert server.flavour == "fakeredis"
        with Redis.from_url(server.url) as client:
            client.set("a", "b")
            assert client.get("a") == b"b"
    finally:
        server.stop()
