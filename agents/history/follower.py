"""A thread that reads ``version-changes`` of the owned partitions and archives it; no group, no committed offsets."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Protocol

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicCollection, TopicPartition

from modelcast.agents.history.archive import PartitionArchive
from modelcast.infra.kafka.client import kafka_unavailable, make_admin, make_consumer, passes
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.settings import Settings
from modelcast.schemas import keys
from modelcast.schemas.codec import decode_as
from modelcast.schemas.errors import ContentError, KafkaUnavailable, ModelcastError
from modelcast.schemas.history.generation import GenerationRecord, encode_generation
from modelcast.schemas.ports import PreconditionFailed
from modelcast.schemas.records import VersionChange
from modelcast.schemas.topics import Topic

POLL_SECONDS = 0.2
LOOK_SECONDS = 1.0
"""How often it is looked which partitions are owned, and what is due."""
RETRY_SECONDS = 3.0
RECORDS_MAX = 1_000
"""Records of generations that wait while the store is away; the oldest go first."""
LIMITS = {"enable.partition.eof": 1, "queued.max.messages.kbytes": 8 * 1024, "fetch.message.max.bytes": 1024 * 1024}

log = structlog.get_logger(__name__)


class ChangesReader(Protocol):
    """Hears what is recorded (``Recorder``, called on its event loop)."""

    def ready(self, partition: int, recorded: Iterable[VersionChange]) -> None:
        """All that is recorded in the partition was read."""
        ...

    def read(self, change: VersionChange) -> None:
        """A change was read."""
        ...

    def lost(self, partition: int) -> None:
        """The partition is not owned any more."""
        ...


class OwnsPartitions(Protocol):
    """Knows what is this worker's (the tracker's ``Rows``)."""

    @property
    def owned(self) -> frozenset[int]:
        """Partitions, as they are assigned now."""
        ...


class ChangesFollower:
    """Follows ``version-changes`` on a thread of its own, between ``start`` and ``close``.

    Args:
        settings: where Kafka is.
        registry: of the origin store, which also holds the archive.
        rows: knows which partitions are this worker's now.
        reader: hears what is recorded, in the order of the records.
        loop: on which ``reader`` is called.
    """

    def __init__(
        self,
        settings: Settings,
        registry: RegistryReader,
        rows: OwnsPartitions,
        reader: ChangesReader,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._settings, self._registry, self._rows = settings, registry, rows
        self._reader, self._loop = reader, loop
        self._archives: dict[int, PartitionArchive] = {}
        self._at_the_end: set[int] = set()
        self._ready: set[int] = set()
        self._records: deque[tuple[str, bytes]] = deque(maxlen=RECORDS_MAX)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="history", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def keep(self, record: GenerationRecord) -> None:
        """Have the record of a generation that is over written soon; the first that is written stays."""
        self._records.append((keys.generation_record(record.model, record.generation), encode_generation(record)))

    def close(self, timeout_seconds: float) -> None:
        """End; what is not archived yet lies on Kafka. Blocking."""
        self._closed.set()
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        warned = False
        while not self._closed.is_set():
            try:
                self._follow()
            except (ModelcastError, KafkaException) as error:
                if not warned:
                    log.warning("the history can't be archived now", error=error)
                warned = True
            except Exception as error:
                log.exception("archiving the history failed and is begun again", error=repr(error))
            else:
                warned = False
            for partition in list(self._archives):
                self._drop(partition)
            self._closed.wait(RETRY_SECONDS)

    def _follow(self) -> None:
        registry_id = self._registry.registry_id()
        topic_id, consumer = self._topic_id(), make_consumer(self._settings, limits=LIMITS)
        try:
            look_at = 0.0
            while not self._closed.is_set():
                if time.monotonic() >= look_at:
                    look_at = time.monotonic() + LOOK_SECONDS
                    self._own(consumer, registry_id, topic_id)
                    self._write(consumer)
                if not self._archives:
                    self._closed.wait(POLL_SECONDS)
                elif (message := consumer.poll(POLL_SECONDS)) is not None:
                    self._take(message)
            self._write_records()
            for archive in self._archives.values():
                archive.seal_the_rest(time.time_ns() // 1000)
        finally:
            consumer.close()

    def _topic_id(self) -> str:
        name = str(Topic.VERSION_CHANGES)
        timeout = self._settings.kafka.timeout_seconds
        admin = make_admin(self._settings)  # kept until the answer is here: what it asked ends with it
        asked = admin.describe_topics(TopicCollection([name]), request_timeout=timeout)
        try:
            return str(asked[name].result(timeout).topic_id)
        except KafkaException as error:
            raise kafka_unavailable(error, self._settings, name) from error
        except TimeoutError:
            raise KafkaUnavailable("Kafka: no answer in time", subject=name) from None

    def _own(self, consumer: Consumer, registry_id: str, topic_id: str) -> None:
        owned = self._rows.owned
        lost, gained = self._archives.keys() - owned, owned - self._archives.keys()
        for partition in lost:
            self._drop(partition)
        for partition in gained:
            archive = PartitionArchive(self._registry.store, partition, registry_id, topic_id)
            archive.begin(*self._ends(consumer, partition))
            self._archives[partition] = archive
        if lost or gained:
            self._assign(consumer)

    def _drop(self, partition: int) -> None:
        self._archives.pop(partition, None)
        self._at_the_end.discard(partition)
        if partition in self._ready:
            self._ready.discard(partition)
            self._on_loop(lambda: self._reader.lost(partition))

    def _on_loop(self, call: Callable[[], None]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call)

    def _assign(self, consumer: Consumer) -> None:
        self._at_the_end.clear()
        consumer.assign([TopicPartition(Topic.VERSION_CHANGES, p, a.end) for p, a in self._archives.items()])

    def _ends(self, consumer: Consumer, partition: int) -> tuple[int, int]:
        where = TopicPartition(Topic.VERSION_CHANGES, partition)
        low, high = consumer.get_watermark_offsets(where, timeout=self._settings.kafka.timeout_seconds)
        return low, high

    def _take(self, message: Message) -> None:
        partition = message.partition()
        archive = self._archives.get(partition) if partition is not None else None
        if archive is None or partition is None:
            return
        if (error := message.error()) is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                self._ends_here(partition, archive)
            elif not passes(error):
                raise kafka_unavailable(error, self._settings, f"{Topic.VERSION_CHANGES}[{partition}]")
            return
        self._at_the_end.discard(partition)
        try:
            change = decode_as(VersionChange, message.value(), book=self._registry.book)
        except ContentError as error:
            log.warning("a change can't be read and is left out", offset=message.offset(), error=error)
            archive.take(message.offset() or 0, None)
            return
        archive.take(message.offset() or 0, change)
        if partition in self._ready:
            self._on_loop(lambda: self._reader.read(change))

    def _ends_here(self, partition: int, archive: PartitionArchive) -> None:
        self._at_the_end.add(partition)
        if partition not in self._ready:
            self._ready.add(partition)
            recorded = tuple(archive.stood.values())
            self._on_loop(lambda: self._reader.ready(partition, recorded))

    def _is_read(self, consumer: Consumer, partition: int, archive: PartitionArchive, now_us: int) -> bool:
        """Whether a mark is wanted, and nothing that lies in the partition is unread."""
        wanted = partition in self._at_the_end and archive.wants_mark(now_us)
        return wanted and self._ends(consumer, partition)[1] == archive.end

    def _write(self, consumer: Consumer) -> None:
        """Seal and mark what is due."""
        self._write_records()
        begun = False
        for partition, archive in self._archives.items():
            now_us = time.time_ns() // 1000
            if archive.is_due(now_us) and not archive.seal(now_us):
                log.info("another worker has archived the same; going on after it", partition=partition)
                archive.begin(*self._ends(consumer, partition))
                begun = True
            elif gone := archive.merge(now_us):
                log.info("segments of the history were merged by day", partition=partition, gone=gone)
            elif self._is_read(consumer, partition, archive, now_us):
                archive.mark(now_us)
        if begun:
            self._assign(consumer)

    def _write_records(self) -> None:
        while self._records:
            key, body = self._records[0]
            with suppress(PreconditionFailed):  # another worker has written it, or this one before it was killed
                self._registry.store.put(key, body, if_absent=True)
            self._records.popleft()
