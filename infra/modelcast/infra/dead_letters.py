"""Dead letters: what could not be read or obeyed, kept for people to look at and to send again."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from confluent_kafka import KafkaException, TopicPartition

from modelcast.infra.kafka_client import make_consumer, read_partition, unavailable
from modelcast.infra.settings import Settings
from modelcast.schemas.codec import decode_as, encode
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import DecodeError, NotFound, Refused
from modelcast.schemas.ports import Announcer
from modelcast.schemas.records import DeadLetter
from modelcast.schemas.topics import DEAD_LETTER_KEPT_MAX, Topic

KEY_KEPT_MAX = 1024
DETAIL_KEPT_MAX = 500
PARTITION = 0


@dataclass(frozen=True, slots=True)
class StoredDeadLetter:
    """A dead letter with its place on the topic. ``received_at_us`` is the cluster's clock."""

    offset: int
    received_at_us: int
    letter: DeadLetter


def dead_letter(
    raw: bytes,
    *,
    reason: str,
    detail: str,
    reported_by: str,
    topic: str,
    partition: int = -1,
    offset: int = -1,
    key: bytes | None = None,
    now_us: int | None = None,
) -> DeadLetter:
    """The dead letter of ``raw``, cut to what may be kept.

    Args:
        raw: the bytes that could not be used.
        reason: one stable word (``DecodeError.reason``, ``foreign-registry``, ``differs-from-log``).
        detail: one line for people.
        reported_by: who could not use it (``region eu worker a``).
        topic: where it came from, with ``partition`` and ``offset`` (-1: nowhere).
        key: its key.
        now_us: the reporter's clock; None: now.
    """
    return DeadLetter(
        source_topic=topic,
        source_partition=partition,
        source_offset=offset,
        reason=reason,
        detail=detail[:DETAIL_KEPT_MAX],
        raw=raw[:DEAD_LETTER_KEPT_MAX],
        raw_size_bytes=len(raw),
        raw_digest=sha256_of(raw),
        key=(key or b"")[:KEY_KEPT_MAX],
        reported_by=reported_by,
        reported_at_us=now_us if now_us is not None else time.time_ns() // 1000,
    )


def encode_dead_letter(letter: DeadLetter) -> tuple[bytes, bytes]:
    """(key, value) as they go to the ``dead-letters`` topic."""
    return letter.source_topic.encode(), encode(letter)


def send(announcer: Announcer, letter: DeadLetter, *, timeout_seconds: float) -> None:
    """Put a letter on its topic.

    Raises:
        KafkaUnavailable: the cluster did not confirm.
    """
    announcer.announce(Topic.DEAD_LETTERS, letter.source_topic, encode(letter), timeout_seconds=timeout_seconds)


def read(settings: Settings, *, last: int | None = None) -> Iterator[StoredDeadLetter]:
    """The dead letters on the cluster, oldest first; of the newest ``last`` offsets only, if given.

    Raises:
        KafkaUnavailable: the cluster can't be reached, or has no such topic.
    """
    consumer, timeout = make_consumer(settings), settings.kafka.timeout_seconds
    try:
        try:
            where = TopicPartition(Topic.DEAD_LETTERS, PARTITION)
            low, high = consumer.get_watermark_offsets(where, timeout=timeout)
        except KafkaException as error:
            raise unavailable(error, settings, Topic.DEAD_LETTERS) from error
        start = low if last is None else max(low, high - last)
        for message in read_partition(
            consumer, settings, Topic.DEAD_LETTERS, PARTITION, start=start, until=high, timeout_seconds=timeout
        ):
            try:
                letter = decode_as(DeadLetter, message.value() or b"")
            except DecodeError:
                continue  # not ours; there is no place further down to report it to
            yield StoredDeadLetter(message.offset() or 0, message.timestamp()[1] * 1000, letter)
    finally:
        consumer.close()


def find(settings: Settings, offset: int) -> StoredDeadLetter:
    """The dead letter at an offset.

    Raises:
        NotFound: there is none.
        KafkaUnavailable: the cluster can't be reached.
    """
    consumer = make_consumer(settings)
    try:
        for message in read_partition(
            consumer,
            settings,
            Topic.DEAD_LETTERS,
            PARTITION,
            start=offset,
            until=offset + 1,
            timeout_seconds=settings.kafka.timeout_seconds,
        ):
            if message.offset() == offset:
                letter = decode_as(DeadLetter, message.value() or b"")
                return StoredDeadLetter(offset, message.timestamp()[1] * 1000, letter)
    finally:
        consumer.close()
    raise NotFound("no such dead letter", subject=f"dead-letters@{offset}", hint="modelcast dead-letters list")


def replay(letter: DeadLetter, announcer: Announcer, *, timeout_seconds: float) -> None:
    """Send the raw bytes to where they came from once more.

    Raises:
        Refused: they were too large to be kept whole, or the key was no text.
        KafkaUnavailable: the cluster did not confirm.
    """
    if sha256_of(letter.raw) != letter.raw_digest:
        raise Refused(
            f"only {len(letter.raw)} of {letter.raw_size_bytes} bytes were kept",
            subject=letter.source_topic,
            hint="have its writer send it again",
        )
    try:
        key = letter.key.decode()
    except UnicodeDecodeError:
        raise Refused("its key is not text", subject=letter.source_topic) from None
    announcer.announce(letter.source_topic, key, letter.raw, timeout_seconds=timeout_seconds)
