"""What the tracker says on Kafka, without ever waiting for it."""

from collections.abc import Callable

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from modelcast.infra.dead_letters import dead_letter, encode_dead_letter
from modelcast.infra.kafka_client import producer_properties
from modelcast.infra.metrics import ANNOUNCEMENTS, DEAD_LETTERS
from modelcast.infra.settings import Settings
from modelcast.schemas.errors import ModelcastError
from modelcast.schemas.topics import Topic

QUEUE_RECORDS_MAX = 10_000
QUEUE_KIBIBYTES_MAX = 64 * 1024

log = structlog.get_logger(__name__)


class Sender:
    """A producer whose calls return at once; ``poll`` (often) tells what became of them. For one thread.

    Args:
        settings: where the cluster is.
        reported_by: who writes dead letters here.
        on_lost: called with (topic, key) of a record that was not delivered.
    """

    def __init__(self, settings: Settings, reported_by: str, on_lost: Callable[[str, str], None]) -> None:
        self._producer = Producer(
            producer_properties(settings)
            | {
                "queue.buffering.max.messages": QUEUE_RECORDS_MAX,
                "queue.buffering.max.kbytes": QUEUE_KIBIBYTES_MAX,
            }
        )
        self._reported_by = reported_by
        self._on_lost = on_lost

    def say(self, topic: Topic, key: str, value: bytes) -> bool:
        """Hand a record over; False if there is no room now."""

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if topic is Topic.MODEL_UPDATES:
                ANNOUNCEMENTS.labels("tracker", "failed" if error else "done").inc()
            if error is not None:
                log.warning("not delivered", topic=str(topic), key=key, error=error.str())
                self._on_lost(topic, key)

        try:
            self._producer.produce(topic, key=key.encode(), value=value, on_delivery=delivered)
        except (BufferError, KafkaException) as error:
            log.warning("not sent", topic=str(topic), key=key, error=str(error))
            return False
        return True

    def bury(
        self, raw: bytes, *, reason: str, detail: str, topic: str, partition: int, offset: int, key: bytes | None
    ) -> None:
        """Put what can't be used, with its reason, where people find it."""
        DEAD_LETTERS.labels(topic, reason).inc()
        log.warning("dead letter", topic=topic, partition=partition, offset=offset, reason=reason, detail=detail[:200])
        letter = dead_letter(
            raw,
            reason=reason,
            detail=detail,
            reported_by=self._reported_by,
            topic=topic,
            partition=partition,
            offset=offset,
            key=key,
        )
        try:
            letter_key, value = encode_dead_letter(letter)
        except ModelcastError as error:
            log.error("a dead letter could not be written", error=str(error))
            return
        self.say(Topic.DEAD_LETTERS, letter_key.decode(), value)

    def poll(self) -> None:
        """Learn what was delivered."""
        self._producer.poll(0)

    def close(self, timeout_seconds: float) -> None:
        """Deliver what is left, for at most ``timeout_seconds``."""
        self._producer.flush(timeout_seconds)
