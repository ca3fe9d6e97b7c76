"""How Modelcast's own clients (confluent-kafka) reach the cluster: properties from the settings, and plain reading."""

import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from modelcast.infra.settings import Settings
from modelcast.schemas.errors import KafkaUnavailable
from modelcast.schemas.topics import RECORD_SIZE_MAX

Client = TypeVar("Client")

QUIET = 2  # librdkafka logs what is critical; everything else reaches the caller as an error
_AUTHENTICATION = frozenset({KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError._SSL})
_AUTHORIZATION = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)
_NO_TOPIC = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION})


def connection_properties(settings: Settings) -> dict[str, Any]:
    """What every client needs to reach the cluster, in librdkafka's words."""
    kafka = settings.kafka
    properties: dict[str, Any] = {
        "log_level": QUIET,
        "socket.connection.setup.timeout.ms": 10_000,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1_000,
        "socket.nagle.disable": True,
        **kafka.properties,
        "bootstrap.servers": kafka.bootstrap_servers,
        "client.id": "modelcast",
    }
    if kafka.security_protocol != "PLAINTEXT":
        properties["security.protocol"] = kafka.security_protocol
    if kafka.security_protocol.startswith("SASL"):
        properties["sasl.mechanism"] = kafka.sasl_mechanism or "PLAIN"
        properties["sasl.username"] = kafka.sasl_username or ""
        properties["sasl.password"] = kafka.sasl_password.get_secret_value() if kafka.sasl_password else ""
    if kafka.ssl_ca_location:
        properties["ssl.ca.location"] = str(kafka.ssl_ca_location)
    return properties


def producer_properties(settings: Settings) -> dict[str, Any]:
    """A producer that loses nothing, doubles nothing, waits for nobody, and puts keys where aiokafka puts them."""
    return connection_properties(settings) | {
        "partitioner": "murmur2_random",
        "acks": "all",
        "enable.idempotence": True,
        "linger.ms": 0,
        "message.max.bytes": 4 * RECORD_SIZE_MAX,
        "message.timeout.ms": int(settings.kafka.timeout_seconds * 1000),
        "topic.metadata.propagation.max.ms": 5_000,
    }


def consumer_properties(settings: Settings, *, group: str = "modelcast-reader") -> dict[str, Any]:
    """A consumer that is assigned its partitions and never commits; its group is a name only."""
    return connection_properties(settings) | {
        "group.id": group,
        "enable.auto.commit": False,
        "enable.partition.eof": False,
        "auto.offset.reset": "earliest",
        "fetch.wait.max.ms": 50,
        "isolation.level": "read_committed",
        "allow.auto.create.topics": False,
    }


def make_producer(settings: Settings, *, on_error: Callable[[KafkaError], None] | None = None) -> Producer:
    """A producer (see ``producer_properties``). ``on_error`` hears why connecting fails, while it is polled."""
    properties = producer_properties(settings) | ({"error_cb": on_error} if on_error else {})
    return _made(Producer, properties, settings)


def make_consumer(settings: Settings) -> Consumer:
    """A consumer without a group (see ``consumer_properties``)."""
    return _made(Consumer, consumer_properties(settings), settings)


def make_admin(settings: Settings) -> AdminClient:
    """An admin client."""
    return _made(AdminClient, connection_properties(settings), settings)


def _made(kind: Callable[[dict[str, Any]], Client], properties: dict[str, Any], settings: Settings) -> Client:
    """A client. With properties that make no sense the cluster is as far away as when it can't be reached."""
    try:
        return kind(properties)
    except KafkaException as error:
        raise unavailable(error, settings) from error


def passes(error: KafkaError) -> bool:
    """Whether a reader that is assigned its partitions may go on: the error ends by itself, or is none of its business.

    librdkafka looks for the coordinator of the group that it insists on having a name for, and readers that join no
    group need no right to one.
    """
    harmless = {KafkaError._PARTITION_EOF, KafkaError.GROUP_AUTHORIZATION_FAILED}
    return bool(error.retriable()) or error.code() in harmless


def unavailable(error: KafkaError | KafkaException | str, settings: Settings, subject: str = "") -> KafkaUnavailable:
    """The error that Kafka's own one means, with a hint that fits it."""
    if isinstance(error, KafkaException):
        error = error.args[0]
    code = error.code() if isinstance(error, KafkaError) else None
    if code in _AUTHENTICATION:
        hint = "check kafka.security_protocol, kafka.sasl_* and kafka.ssl_ca_location"
    elif code in _AUTHORIZATION:
        hint = "this user lacks an ACL on it"
    elif code == KafkaError._INVALID_ARG:
        hint = "check kafka.security_protocol, kafka.sasl_*, kafka.ssl_ca_location and kafka.properties"
    elif code in _NO_TOPIC:
        hint = "create the topics: modelcast topics --create; if they are there, this user lacks an ACL on them"
    else:
        hint = f"is Kafka up at {settings.kafka.bootstrap_servers}?"
    text = error.str() if isinstance(error, KafkaError) else error
    return KafkaUnavailable(f"Kafka: {text}", subject=subject, hint=hint)


def read_partition(
    consumer: Consumer,
    settings: Settings,
    topic: str,
    partition: int,
    *,
    start: int = OFFSET_BEGINNING,
    until: int | None = None,
    timeout_seconds: float,
) -> Iterator[Message]:
    """Messages of one partition from offset ``start`` up to (not with) ``until``; None: up to what is there now.

    Raises:
        KafkaUnavailable: the cluster can't be reached, or the messages don't come in ``timeout_seconds``.
    """
    subject, deadline = f"{topic}[{partition}]", time.monotonic() + timeout_seconds
    where = TopicPartition(topic, partition, start)
    try:
        low, high = consumer.get_watermark_offsets(where, timeout=timeout_seconds)
        end = high if until is None else min(until, high)
        position = low if start == OFFSET_BEGINNING else max(low, start)
        if position >= end:
            return
        consumer.assign([TopicPartition(topic, partition, position)])
        # A compacted topic's last offsets may hold nothing, so the position tells the end, not the messages.
        while position < end:
            if time.monotonic() > deadline:
                raise unavailable("the messages did not come in time", settings, subject)
            message = consumer.poll(0.1)
            if message is None:
                reached = consumer.position([TopicPartition(topic, partition)])[0].offset
                position = max(position, reached)
                continue
            if (error := message.error()) is not None:
                if passes(error):
                    continue
                raise unavailable(error, settings, subject)
            position = (message.offset() or 0) + 1
            if position <= end:
                yield message
    except KafkaException as error:
        raise unavailable(error, settings, subject) from error
