"""Saying something on Kafka and knowing that the cluster has it."""

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from modelcast.infra.forks import never_freed, renew_in_children
from modelcast.infra.kafka.client import connection_properties, kafka_unavailable, make_producer
from modelcast.infra.settings import Settings
from modelcast.schemas.errors import KafkaUnavailable, UsageError

POLL_SECONDS = 0.05
"""Seconds between two looks for our confirmation, which another thread's poll may have served."""


class KafkaAnnouncer:
    """An ``Announcer`` on confluent-kafka. Thread-safe; connects on first use (or ``warm``).

    Raises:
        UsageError: the settings about Kafka make no sense: known before anything is claimed.
    """

    def __init__(self, settings: Settings) -> None:
        connection_properties(settings)
        self._settings = settings
        self._producer: Producer | None = None
        self._trouble: KafkaError | None = None
        self._lock = threading.Lock()
        renew_in_children(self)

    def after_fork(self) -> None:
        """See ``Inherited``: the producer's threads are the parent's."""
        if self._producer is not None:
            never_freed(self._producer)
        self._producer, self._trouble, self._lock = None, None, threading.Lock()

    def warm(self, topic: str, *, timeout_seconds: float = 5.0) -> bool:
        """Connect and learn where ``topic``'s partitions are, so that the first announcement is fast.

        Returns:
            Whether the cluster answered and knows the topic.
        """
        try:
            found = self._connected().list_topics(topic, timeout=timeout_seconds)
        except (KafkaException, UsageError):
            return False
        return topic in found.topics and found.topics[topic].error is None

    def announce(
        self,
        topic: str,
        key: str,
        value: bytes | None,
        *,
        timeout_seconds: float,
        headers: Mapping[str, bytes] | None = None,
    ) -> None:
        """Deliver with ``acks=all``; return when the cluster confirmed. Without a ``value``: a tombstone.

        Raises:
            KafkaUnavailable: it did not within ``timeout_seconds``. It may still arrive: announcing twice is harmless.
        """
        delivered = threading.Event()
        failure: list[KafkaError] = []

        def on_delivery(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                failure.append(error)
            delivered.set()

        deadline = time.monotonic() + timeout_seconds
        try:
            producer = self._connected()
        except UsageError as error:  # a claim may have been made, and the tracker announces it
            raise KafkaUnavailable(error.message, subject=topic, hint=error.hint) from error
        try:
            producer.produce(
                topic, key=key.encode(), value=value, headers=list((headers or {}).items()), on_delivery=on_delivery
            )
        except BufferError as error:
            raise KafkaUnavailable("too much is waiting to be sent", subject=topic, hint="is Kafka slow?") from error
        except KafkaException as error:
            raise kafka_unavailable(error, self._settings, topic) from error
        while not delivered.is_set():
            left = deadline - time.monotonic()
            if left <= 0:
                why = self._trouble or f"no confirmation within {timeout_seconds:g} s"
                raise kafka_unavailable(why, self._settings, topic)
            try:
                producer.poll(min(left, POLL_SECONDS))
            except KafkaException as error:  # fatal for this producer: this user may write nowhere, say
                self._forget(producer)
                raise kafka_unavailable(error, self._settings, topic) from error
        if failure:
            timed_out = failure[0].code() == KafkaError._MSG_TIMED_OUT
            raise kafka_unavailable((self._trouble if timed_out else None) or failure[0], self._settings, topic)
        self._trouble = None

    def close(self) -> None:
        """Let go of the connection; what was given up on is dropped."""
        with self._lock:
            producer, self._producer = self._producer, None
        with suppress(KafkaException):  # a fatal error was raised to the announcer; now there is nothing left to lose
            if producer is not None and producer.flush(0.5):
                producer.purge()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _connected(self) -> Producer:
        with self._lock:
            if self._producer is None:
                self._producer = make_producer(self._settings, on_error=self._on_error)
            return self._producer

    def _forget(self, producer: Producer) -> None:
        with self._lock:
            if self._producer is producer:
                self._producer = None

    def _on_error(self, error: KafkaError) -> None:
        # "All brokers are down" follows what really happened (refused, bad password, bad certificate) and says less.
        if error.code() != KafkaError._ALL_BROKERS_DOWN or self._trouble is None:
            self._trouble = error
