"""What lies on topics, for tests that look again and again: each record is read once, by one client."""

from confluent_kafka import Message

from modelcast.infra.kafka.client import make_consumer, read_partition
from modelcast.infra.settings import Settings

TIMEOUT_SECONDS = 30.0


class TopicReader:
    """Keeps what was read; each look reads on from there.

    Args:
        settings: of the cluster. It is not asked before the first look.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._consumer = make_consumer(settings)
        self._read: dict[tuple[str, int], list[Message]] = {}

    def messages(self, topic: str, partition: int) -> list[Message]:
        """Everything on a partition, oldest first."""
        read = self._read.setdefault((topic, partition), [])
        start = (read[-1].offset() or 0) + 1 if read else 0
        read += read_partition(
            self._consumer, self._settings, topic, partition, start=start, timeout_seconds=TIMEOUT_SECONDS
        )
        return read

    def values(self, topic: str, partition: int) -> list[bytes]:
        """Their values; of a record without one, no bytes."""
        return [message.value() or b"" for message in self.messages(topic, partition)]

    def close(self) -> None:
        """Let go of the cluster."""
        self._consumer.close()
