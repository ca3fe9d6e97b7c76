"""Where a record lies is decided by the producer: librdkafka's ``murmur2_random`` must agree with us, on Kafka."""

import uuid

import pytest
from confluent_kafka import Message, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from modelcast.schemas.topics import MODEL_PARTITIONS, partition_of

KEYS = [f"{word}-{number}" for word in ("fraud", "ranking", "x", "a-rather-long-model-name") for number in range(50)]


@pytest.mark.integration
def test_librdkafka_puts_every_model_where_we_say(kafka: str) -> None:
    topic = f"partitions-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic(topic, MODEL_PARTITIONS, 1)])[topic].result(timeout=30)
    landed: dict[str, int] = {}

    def delivered(error: object, message: Message) -> None:
        assert error is None, error
        key = message.key()
        partition = message.partition()
        assert isinstance(key, bytes)
        assert partition is not None
        landed[key.decode()] = partition

    producer = Producer({"bootstrap.servers": kafka, "partitioner": "murmur2_random"})
    try:
        for key in KEYS:
            producer.produce(topic, b"", key=key.encode(), on_delivery=delivered)
        assert producer.flush(30) == 0
    finally:
        admin.delete_topics([topic])[topic].result(timeout=30)
    assert landed == {key: partition_of(key) for key in KEYS}
    assert len(set(landed.values())) == MODEL_PARTITIONS
