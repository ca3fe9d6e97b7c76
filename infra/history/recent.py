"""What has changed since the archive was last written: the end of ``version-changes`` on Kafka."""

import threading
import time
from dataclasses import dataclass
from typing import Protocol

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from modelcast.infra.kafka.admin import topic_ids
from modelcast.infra.kafka.client import make_consumer, read_partition
from modelcast.infra.registry.newer_records import NewerRecords, newer_records
from modelcast.infra.settings import Settings
from modelcast.schemas.errors import DecodeError, KafkaUnavailable
from modelcast.schemas.records import VersionChange, VersionState
from modelcast.schemas.topics import Topic, partition_of
from modelcast.schemas.unchanged import StatesUnchanged, is_unchanged

TIMEOUT_SECONDS = 5.0
"""The archive answers without Kafka, too: nobody waits long for it."""
KEPT_SECONDS = 5.0
BACK_OFFSETS = 500
"""Of ``version-state``: within half a minute a tracker tells of every model."""
ON_ITS_WAY_US = 30_000_000
"""A change takes less from the tracker to Kafka."""


@dataclass(frozen=True, slots=True)
class RecentChanges:
    """Changes of one partition that are not archived.

    Attributes:
        changes: of all its models, in the order of their offsets.
        through_us: all changes up to then are here; 0: no tracker told lately.
        lost: changes before them are gone.
    """

    changes: tuple[VersionChange, ...]
    through_us: int
    lost: bool = False


class RecentSource(Protocol):
    """Where changes are read that are not archived yet."""

    def since(self, model: str, topic_id: str, end_offset: int) -> RecentChanges | None:
        """What came after ``end_offset`` in the model's partition; None: that can't be read now.

        Args:
            model: its name.
            topic_id: of the topic in which that offset counts; of another topic, all is read.
            end_offset: where the archive ends; 0: nothing is archived.
        """
        ...


class KafkaRecent:
    """Reads them from Kafka; an answer is kept for a moment. Blocking, thread-safe."""

    def __init__(self, settings: Settings) -> None:
        timeout_seconds = min(TIMEOUT_SECONDS, settings.kafka.timeout_seconds)
        kafka = settings.kafka.model_copy(update={"timeout_seconds": timeout_seconds})
        self._settings = settings.model_copy(update={"kafka": kafka})
        self._records = newer_records(settings)
        self._kept: dict[tuple[str, str, int], tuple[float, RecentChanges | None]] = {}
        self._lock = threading.Lock()

    def since(self, model: str, topic_id: str, end_offset: int) -> RecentChanges | None:
        """See ``RecentSource``."""
        key, now = (model, topic_id, end_offset), time.monotonic()
        with self._lock:
            self._kept = {k: each for k, each in self._kept.items() if now - each[0] < KEPT_SECONDS}
            if key in self._kept:
                return self._kept[key][1]
        try:
            found = self._read(model, topic_id, end_offset)
        except (KafkaUnavailable, KafkaException):
            found = None
        with self._lock:
            self._kept[key] = (time.monotonic(), found)
        return found

    def _read(self, model: str, topic_id: str, end_offset: int) -> RecentChanges:
        settings, topic, partition = self._settings, str(Topic.VERSION_CHANGES), partition_of(model)
        timeout_seconds = settings.kafka.timeout_seconds
        goes_on = bool(topic_id) and topic_ids(settings).get(topic) == topic_id
        consumer = make_consumer(settings)
        try:
            told_us = _told_us(consumer, settings, self._records, model)  # before: later changes may not be here yet
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=timeout_seconds)
            goes_on = goes_on and low <= end_offset <= high
            start = end_offset if goes_on else OFFSET_BEGINNING
            changes = []
            for message in read_partition(
                consumer, settings, topic, partition, start=start, timeout_seconds=timeout_seconds
            ):
                try:
                    changes.append(self._records.decode_as(VersionChange, message.value()))
                except DecodeError:
                    continue  # the archive leaves it out, too
        finally:
            consumer.close()
        lost = bool(topic_id) and not goes_on
        return RecentChanges(tuple(changes), max(0, told_us - ON_ITS_WAY_US), lost)


def _told_us(consumer: Consumer, settings: Settings, records: NewerRecords, model: str) -> int:
    """When a tracker last told of a model, by its clock; 0: not lately."""
    topic, partition, told_us = str(Topic.VERSION_STATE), partition_of(model), 0
    timeout_seconds = settings.kafka.timeout_seconds
    _, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=timeout_seconds)
    start = max(0, high - BACK_OFFSETS)
    for message in read_partition(consumer, settings, topic, partition, start=start, timeout_seconds=timeout_seconds):
        try:
            if message.key() == model.encode() and message.value():
                told_us = max(told_us, records.decode_as(VersionState, message.value()).updated_at_us)
            elif is_unchanged(message.key()):
                told = records.decode_as(StatesUnchanged, message.value())
                told_us = max(told_us, told.updated_at_us if told.of(model) is not None else 0)
        except DecodeError:
            continue
    return told_us
