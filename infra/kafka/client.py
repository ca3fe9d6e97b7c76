"""How Modelcast's own clients (confluent-kafka) reach the cluster: properties from the settings, and plain reading."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from types import MappingProxyType
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

from modelcast.infra.kafka.connection import check_files, connection_of
from modelcast.infra.settings import Settings
from modelcast.schemas.errors import KafkaUnavailable, UsageError
from modelcast.schemas.topics import RECORD_SIZE_MAX

Client = TypeVar("Client")

QUIET = 2  # librdkafka logs what is critical; everything else reaches the caller as an error
HANGS_UP = "the connection is accepted and closed at once"
WHY_SECONDS, WHY_STEP_SECONDS = 3.0, 0.25
_SAYS_NOTHING = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._RESOLVE,
        KafkaError.REQUEST_TIMED_OUT,
    }
)
_AUTHENTICATION = frozenset(
    {
        KafkaError._AUTHENTICATION,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
    }
)
_AUTHORIZATION = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)
_NO_TOPIC = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION})


def connection_properties(settings: Settings) -> dict[str, Any]:
    """What every client needs to reach the cluster, in librdkafka's words.

    Raises:
        UsageError: the settings about Kafka make no sense, or a file that they name can't be read.
    """
    connection = connection_of(settings.kafka)
    check_files(connection)
    return {
        "log_level": QUIET,
        "socket.connection.setup.timeout.ms": 10_000,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1_000,
        "socket.nagle.disable": True,
        **connection,
    }


def producer_properties(settings: Settings) -> dict[str, Any]:
    """A producer that loses nothing, doubles nothing, never blocks, and puts keys where aiokafka puts them."""
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


def make_producer(
    settings: Settings,
    *,
    on_error: Callable[[KafkaError], None] | None = None,
    limits: Mapping[str, int] = MappingProxyType({}),
) -> Producer:
    """A producer (see ``producer_properties``).

    Args:
        settings: where the cluster is.
        on_error: hears why connecting fails, while the producer is polled.
        limits: properties about how much may wait.

    Raises:
        UsageError: librdkafka can't use the settings.
    """
    properties = producer_properties(settings) | dict(limits) | ({"error_cb": on_error} if on_error else {})
    return _made(Producer, properties, settings)


def make_consumer(settings: Settings, *, limits: Mapping[str, int] = MappingProxyType({})) -> Consumer:
    """A consumer without a group (see ``consumer_properties``); ``limits``: how much it reads ahead, as properties."""
    return _made(Consumer, consumer_properties(settings) | dict(limits), settings)


def make_admin(settings: Settings) -> AdminClient:
    """An admin client."""
    return _made(AdminClient, connection_properties(settings), settings)


def _made(kind: Callable[[dict[str, Any]], Client], properties: dict[str, Any], settings: Settings) -> Client:
    """A client.

    Raises:
        UsageError: librdkafka knows no such property, or can't use a value or file.
    """
    try:
        return kind(properties)
    except KafkaException as error:
        if error.args[0].code() != KafkaError._INVALID_ARG:
            raise kafka_unavailable(error, settings) from error
        hint = "check kafka.properties and kafka.ssl_ca_location: librdkafka takes certificates and keys in PEM format"
        raise UsageError(f"Kafka's client can't use its settings: {error.args[0].str()}", hint=hint) from None


def passes(error: KafkaError) -> bool:
    """Whether a reader that is assigned its partitions may go on: the error ends by itself, or is none of its business.

    librdkafka looks for the coordinator of the group that it insists on having a name for, and readers that join no
    group need no right to one.
    """
    harmless = {KafkaError._PARTITION_EOF, KafkaError.GROUP_AUTHORIZATION_FAILED}
    return bool(error.retriable()) or error.code() in harmless


def kafka_unavailable(
    error: KafkaError | KafkaException | str, settings: Settings, subject: str = ""
) -> KafkaUnavailable:
    """The error that Kafka's own one means, with a hint that fits it."""
    bare = _bare(error)
    code = None if isinstance(bare, str) else bare.code()
    text = bare if isinstance(bare, str) else bare.str()
    return KafkaUnavailable(f"Kafka: {text}", subject=subject, hint=_hint(code, text, settings))


def unreachable(error: KafkaError | KafkaException | str, settings: Settings, subject: str = "") -> KafkaUnavailable:
    """``kafka_unavailable``, after a look at why: requests without an answer lack it. Takes up to ``WHY_SECONDS``."""
    bare = _bare(error)
    if isinstance(bare, str) or bare.code() in _SAYS_NOTHING:
        bare = why_unreachable(settings) or bare
    return kafka_unavailable(bare, settings, subject)


def _bare(error: KafkaError | KafkaException | str) -> KafkaError | str:
    if isinstance(error, KafkaException):
        inner: KafkaError = error.args[0]
        return inner
    return error


def why_unreachable(settings: Settings, seconds: float = WHY_SECONDS) -> KafkaError | str | None:
    """What keeps a client from connecting (refused, certificate, password); None: nothing, or no broker answers."""
    heard: list[KafkaError] = []
    client = make_producer(settings, on_error=heard.append)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(KafkaException):
            if client.list_topics(timeout=WHY_STEP_SECONDS).brokers:
                return None
        client.poll(0)
        if reasons := [error for error in heard if error.code() != KafkaError._ALL_BROKERS_DOWN]:
            return reasons[-1]
    return HANGS_UP if heard else None


def _hint(code: int | None, text: str, settings: Settings) -> str:
    kafka = settings.kafka
    protocol = connection_of(kafka)["security.protocol"]
    protocol_hint = f"kafka.security_protocol is {protocol}: does the listener at {kafka.bootstrap_servers} take it?"
    if text == HANGS_UP or "broker listener" in text or "security.protocol" in text:
        return protocol_hint
    if "closed by peer" in text and "SSL_HANDSHAKE" in text:  # a race decides whether more is known
        return f"{protocol_hint} does it ask for a client certificate (kafka.properties: ssl.certificate.location)?"
    if "certificate verify failed" in text:
        return "kafka.ssl_ca_location must name the CA of the brokers' certificates, which must name their hosts"
    if code == KafkaError._SSL or "SSL routines" in text:
        return (
            "does the broker ask for a client certificate (kafka.properties: ssl.certificate.location) of its own CA?"
        )
    if code in _AUTHENTICATION:
        return "check kafka.sasl_username, kafka.sasl_password and kafka.sasl_mechanism"
    if code in _AUTHORIZATION:
        return "this user lacks an ACL on it"
    if code in _NO_TOPIC:
        return "create the topics: modelcast topics --create; if they are there, this user lacks an ACL on them"
    return f"is Kafka up at {kafka.bootstrap_servers}?"


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
                raise unreachable("the messages did not come in time", settings, subject)
            message = consumer.poll(0.1)
            if message is None:
                reached = consumer.position([TopicPartition(topic, partition)])[0].offset
                position = max(position, reached)
                continue
            if (error := message.error()) is not None:
                if passes(error):
                    continue
                raise unreachable(error, settings, subject)
            position = (message.offset() or 0) + 1
            if position <= end:
                yield message
    except KafkaException as error:
        raise unreachable(error, settings, subject) from error
