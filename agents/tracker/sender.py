"""What the tracker says on Kafka, without ever waiting for it."""

from collections.abc import Callable

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from modelcast.infra.burial import Burial
from modelcast.infra.kafka_client import producer_properties
from modelcast.infra.metrics import ANNOUNCEMENTS
from modelcast.infra.settings import Settings
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
        self.bury = Burial(self.say, reported_by)
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

    def poll(self) -> None:
        """Learn what was delivered."""
        self._producer.poll(0)

    def close(self, timeout_seconds: float) -> None:
        """Deliver what is left, for at most ``timeout_seconds``."""
        self._producer.flush(timeout_seconds)
