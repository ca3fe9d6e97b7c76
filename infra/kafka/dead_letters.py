"""Dead letters: what could not be read or obeyed, kept for people to look at and to send again."""

import logging
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, replace

from confluent_kafka import Consumer, KafkaException, TopicPartition

from modelcast.infra.kafka import replays
from modelcast.infra.kafka.announcer import KafkaAnnouncer
from modelcast.infra.kafka.client import make_consumer, read_partition, unreachable
from modelcast.infra.kafka.replays import Replay
from modelcast.infra.registry.newer_records import newer_records
from modelcast.infra.settings import Settings
from modelcast.schemas.codec import encode
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import DecodeError, KafkaUnavailable, NotFound, Refused, UsageError
from modelcast.schemas.ports import Announcer
from modelcast.schemas.records import DeadLetter
from modelcast.schemas.topics import DEAD_LETTER_KEPT_MAX, Topic

_logger = logging.getLogger(__name__)

KEY_KEPT_MAX = 1024
DETAIL_KEPT_MAX = 500
PARTITION = 0


@dataclass(frozen=True, slots=True)
class StoredDeadLetter:
    """A dead letter with its place on the topic, and how often it was sent again. Times are the cluster's clock."""

    offset: int
    received_at_us: int
    letter: DeadLetter
    replays: tuple[Replay, ...] = ()


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


def read(settings: Settings, *, last: int | None = None) -> list[StoredDeadLetter]:
    """The dead letters on the cluster, oldest first; the newest ``last`` only, if given.

    Raises:
        KafkaUnavailable: the cluster can't be reached, or has no such topic.
    """
    consumer = make_consumer(settings)
    try:
        low, high = _bounds(consumer, settings)
        wanted = high - low if last is None else last
        while (
            True
        ):  # notes about replays and what can't be read take places, too: look further back for as many letters
            found = _read(consumer, settings, max(low, high - wanted), high)
            if wanted >= high - low or last is None or len(found) >= last:
                return found if last is None else found[-last:]
            wanted *= 2
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
        low, high = _bounds(consumer, settings)
        if low <= offset < high:
            for stored in _read(consumer, settings, offset, high):
                if stored.offset == offset:
                    return stored
    finally:
        consumer.close()
    raise NotFound("no such dead letter", subject=f"dead-letters@{offset}", hint="modelcast dead-letters list")


def check_replayable(letter: DeadLetter) -> None:
    """Whether a letter can be sent again.

    Raises:
        Refused: it was too large to be kept whole, the key is no text, or it came from no topic of ours.
    """
    if letter.source_topic not in set(Topic):
        raise Refused(
            "it came from no topic that it could go back to",
            subject=letter.source_topic,
            hint="`dead-letters show` has its bytes",
        )
    if sha256_of(letter.raw) != letter.raw_digest:
        raise Refused(
            f"only {len(letter.raw)} of {letter.raw_size_bytes} bytes were kept",
            subject=letter.source_topic,
            hint="have its writer send it again",
        )
    try:
        letter.key.decode()
    except UnicodeDecodeError:
        raise Refused(
            "its key is not text", subject=letter.source_topic, hint="have its writer send it again"
        ) from None


def replay(
    stored: StoredDeadLetter, announcer: KafkaAnnouncer, *, by: str, reason: str = "", timeout_seconds: float
) -> None:
    """Send the raw bytes to where they came from once more, and note behind the letters who did and why.

    Raises:
        Refused: see ``check_replayable``.
        UsageError: the reason is too long.
        KafkaUnavailable: the cluster did not confirm; the message says if only the note is missing.
    """
    letter, subject = stored.letter, f"{Topic.DEAD_LETTERS}@{stored.offset}"
    check_replayable(letter)
    if len(reason) > replays.REASON_MAX:
        raise UsageError(f"a reason of {len(reason)} characters", subject=subject, hint=f"at most {replays.REASON_MAX}")
    announcer.announce(
        letter.source_topic,
        letter.key.decode(),
        letter.raw,
        timeout_seconds=timeout_seconds,
        headers=replays.headers(stored.offset, by, reason),
    )
    try:
        value = replays.encode_note(stored.offset, by, reason)
        announcer.announce(Topic.DEAD_LETTERS, replays.NOTE_KEY, value, timeout_seconds=timeout_seconds)
    except KafkaUnavailable as error:
        raise KafkaUnavailable(
            f"it was sent to {letter.source_topic}, but the note that it was could not be written: {error.message}",
            subject=subject,
            hint=f"don't replay it again; {error.hint}",
        ) from error
    _logger.info("dead letter replayed", extra={"offset": stored.offset, "to": letter.source_topic, "by": by})


def _bounds(consumer: Consumer, settings: Settings) -> tuple[int, int]:
    try:
        return consumer.get_watermark_offsets(
            TopicPartition(Topic.DEAD_LETTERS, PARTITION), timeout=settings.kafka.timeout_seconds
        )
    except KafkaException as error:
        raise unreachable(error, settings, Topic.DEAD_LETTERS) from error


def _read(consumer: Consumer, settings: Settings, start: int, until: int) -> list[StoredDeadLetter]:
    found: list[StoredDeadLetter] = []
    records = newer_records(settings)
    replayed: dict[int, list[Replay]] = defaultdict(list)
    timeout = settings.kafka.timeout_seconds
    for message in read_partition(
        consumer, settings, Topic.DEAD_LETTERS, PARTITION, start=start, until=until, timeout_seconds=timeout
    ):
        value, at_us = message.value() or b"", message.timestamp()[1] * 1000
        if (noted := replays.read_note(message.key(), value, at_us)) is not None:
            replayed[noted.offset].append(noted)
            continue
        with suppress(DecodeError):  # not ours; there is no place further down to report it to
            found.append(StoredDeadLetter(message.offset() or 0, at_us, records.decode_as(DeadLetter, value)))
    return [replace(stored, replays=tuple(replayed[stored.offset])) for stored in found]
