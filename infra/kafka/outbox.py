"""What a daemon writes to Kafka, without ever waiting for it.

It has a producer of its own, which outlives the stream app: when that crashes and is made anew, writing goes on.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping

import structlog
from confluent_kafka import KafkaError, KafkaException, Message

from modelcast.infra.kafka.client import make_producer
from modelcast.infra.kafka.dead_letter_writer import DeadLetterWriter
from modelcast.infra.settings import Settings
from modelcast.schemas.topics import Topic

LIMITS = {"queue.buffering.max.messages": 20_000, "queue.buffering.max.kbytes": 128 * 1024}
POLL_SECONDS = 0.2

log = structlog.get_logger(__name__)

Delivered = Callable[[bool], None]


class Outbox:
    """A producer whose calls return at once. Use it on one event loop.

    Args:
        settings: where the cluster is.
        reported_by: who writes dead letters here.
    """

    def __init__(self, settings: Settings, reported_by: str) -> None:
        self._producer = make_producer(settings, limits=LIMITS)
        self.dead_letter = DeadLetterWriter(self.send, reported_by)
        self._loop = asyncio.get_running_loop()
        self._closed = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="outbox", daemon=True)
        self._poller.start()

    def send(
        self,
        topic: Topic,
        key: str,
        value: bytes,
        on_delivery: Delivered = lambda done: None,
        headers: Mapping[str, bytes] | None = None,
    ) -> None:
        """Hand a record over; ``on_delivery`` is called once, on the event loop, with whether the cluster has it."""

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                log.warning("not delivered", topic=str(topic), key=key, error=error.str())
            self._settle(on_delivery, error is None)

        try:
            self._producer.produce(
                topic, key=key.encode(), value=value, headers=dict(headers or {}), on_delivery=delivered
            )
        except (BufferError, KafkaException) as error:
            log.warning("not sent", topic=str(topic), key=key, error=str(error))
            self._loop.call_soon(on_delivery, False)

    def close(self, timeout_seconds: float) -> None:
        """Deliver what is left, for at most ``timeout_seconds``. Blocking."""
        self._producer.flush(timeout_seconds)
        self._closed.set()
        self._poller.join(2 * POLL_SECONDS + 1)

    def _poll(self) -> None:
        while not self._closed.is_set():
            self._producer.poll(POLL_SECONDS)

    def _settle(self, on_delivery: Delivered, done: bool) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(on_delivery, done)
