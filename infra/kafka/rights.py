"""What the cluster lets this user do, by the cluster's own report; and its clock. Writes nothing that has a reader."""

import time
from collections.abc import Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, TopicCollection

from modelcast.infra.kafka.client import make_admin, make_producer, unreachable
from modelcast.infra.settings import Settings
from modelcast.schemas.errors import KafkaUnavailable
from modelcast.schemas.topics import TOPICS, Topic

CLOCK_KEY = b"doctor/clock"
_COORDINATORS = frozenset(
    {
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    }
)
_FORBIDDEN = frozenset({KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED})


def topic_operations(settings: Settings) -> dict[str, frozenset[str]]:
    """By topic: the operations that this user may do (``READ``, ``WRITE`` …); none if it may not even be described.

    Topics that don't exist are left out.

    Raises:
        KafkaUnavailable: the cluster can't be reached.
    """
    admin, timeout = make_admin(settings), settings.kafka.timeout_seconds
    asked = TopicCollection([str(spec.name) for spec in TOPICS])
    answers = admin.describe_topics(asked, include_authorized_operations=True, request_timeout=timeout)
    return _operations(answers, settings, gone=KafkaError.UNKNOWN_TOPIC_OR_PART)


def group_operations(settings: Settings, groups: Sequence[str]) -> dict[str, frozenset[str]]:
    """By consumer group: the operations that this user may do.

    Raises:
        KafkaUnavailable: the cluster can't be reached.
    """
    admin, timeout = make_admin(settings), settings.kafka.timeout_seconds
    deadline = time.monotonic() + timeout
    while True:
        answers = admin.describe_consumer_groups(
            list(groups), include_authorized_operations=True, request_timeout=timeout
        )
        try:
            return _operations(answers, settings, gone=KafkaError.GROUP_ID_NOT_FOUND)
        except _Settling as error:  # the first question about a group has its coordinator chosen
            if time.monotonic() > deadline:
                raise unreachable(str(error), settings, "consumer groups") from error
            time.sleep(0.2)


class _Settling(Exception):
    """The group has no coordinator yet."""


def _operations(answers: dict[str, Any], settings: Settings, *, gone: int) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for name, future in answers.items():
        try:
            told = future.result(settings.kafka.timeout_seconds)
        except KafkaException as error:
            code = error.args[0].code()
            if code in _COORDINATORS:
                raise _Settling(str(error)) from error
            if code in _FORBIDDEN:
                found[name] = frozenset()
            elif code != gone:
                raise unreachable(error, settings, name) from error
        except TimeoutError as error:
            raise unreachable("no answer in time", settings, name) from error
        else:
            found[name] = frozenset(operation.name for operation in told.authorized_operations or ())
    return found


def append_time_us(settings: Settings, topic: Topic) -> int:
    """The brokers' clock, by when they received a record without a value: on a compacted topic it soon vanishes.

    Raises:
        KafkaUnavailable: the cluster did not take it.
    """
    told: list[tuple[KafkaError | None, int]] = []

    def delivered(error: KafkaError | None, message: Message) -> None:
        told.append((error, message.timestamp()[1]))

    producer = make_producer(settings)
    producer.produce(str(topic), key=CLOCK_KEY, value=None, partition=0, on_delivery=delivered)
    deadline = time.monotonic() + settings.kafka.timeout_seconds
    while not told and time.monotonic() < deadline:
        producer.poll(0.05)
    if not told:
        raise unreachable("no confirmation in time", settings, topic)
    error, milliseconds = told[0]
    if error is not None:
        raise KafkaUnavailable(
            f"Kafka: {error.str()}", subject=topic, hint="does the topic exist, and may this user write?"
        )
    return milliseconds * 1000
