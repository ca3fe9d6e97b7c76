"""Dead letters on a real broker: kept, listed, sent again, and who did."""

import uuid

import pytest
from confluent_kafka import Message

from modelcast.infra.kafka import admin as kafka_admin
from modelcast.infra.kafka import dead_letters, replays
from modelcast.infra.kafka.announcer import KafkaAnnouncer
from modelcast.infra.kafka.client import make_consumer, read_partition
from modelcast.infra.kafka.dead_letters import StoredDeadLetter
from modelcast.infra.settings import KafkaSettings, Settings
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import NotFound, Refused, UsageError
from modelcast.schemas.records import DeadLetter
from modelcast.schemas.topics import DEAD_LETTER_KEPT_MAX, Topic, partition_of

pytestmark = pytest.mark.integration

TIMEOUT_SECONDS = 60.0


@pytest.fixture(scope="session")
def settings(kafka: str) -> Settings:
    settings = Settings(kafka=KafkaSettings(bootstrap_servers=kafka, timeout_seconds=TIMEOUT_SECONDS))
    kafka_admin.create_topics(settings)
    return settings


def unreadable(raw: bytes | None = None, key: bytes = b"fraud", topic: str = Topic.MODEL_ACKS) -> DeadLetter:
    return dead_letters.dead_letter(
        raw if raw is not None else uuid.uuid4().bytes,
        reason="malformed", detail="why", reported_by="test", topic=topic, key=key,
    )  # fmt: skip


def sent(settings: Settings, announcer: KafkaAnnouncer, letter: DeadLetter) -> StoredDeadLetter:
    dead_letters.send(announcer, letter, timeout_seconds=TIMEOUT_SECONDS)
    return next(s for s in reversed(dead_letters.read(settings)) if s.letter == letter)


def records(settings: Settings, topic: str, key: str) -> list[Message]:
    consumer = make_consumer(settings)
    try:
        there = read_partition(consumer, settings, topic, partition_of(key), timeout_seconds=TIMEOUT_SECONDS)
        return [message for message in there if message.key() == key.encode()]
    finally:
        consumer.close()


def test_a_dead_letter_keeps_the_beginning_and_the_digest_of_the_whole() -> None:
    raw = b"\xc3\x01" + bytes(300_000)
    letter = dead_letters.dead_letter(
        raw, reason="oversize", detail="d" * 10_000, reported_by="test", topic="model-acks", key=b"k" * 9_999, now_us=7
    )
    assert letter.raw == raw[:DEAD_LETTER_KEPT_MAX]
    assert (letter.raw_size_bytes, letter.raw_digest) == (len(raw), sha256_of(raw))
    assert len(dead_letters.encode_dead_letter(letter)[1]) < 140 * 1024


def test_dead_letters_are_listed_oldest_first_and_found_by_their_place(settings: Settings) -> None:
    first, second = unreadable(), unreadable()
    with KafkaAnnouncer(settings) as announcer:
        stored = [sent(settings, announcer, letter) for letter in (first, second)]
    assert [s.letter for s in dead_letters.read(settings)][-2:] == [first, second]
    assert [s.letter for s in dead_letters.read(settings, last=1)] == [second]
    assert dead_letters.find(settings, stored[0].offset) == stored[0]
    assert stored[0].received_at_us > 1_600_000_000_000_000
    assert stored[0].replays == ()
    with pytest.raises(NotFound):
        dead_letters.find(settings, 10**9)


def test_a_replayed_record_says_who_sent_it_again_and_why(settings: Settings) -> None:
    key = f"model-{uuid.uuid4().hex[:12]}"
    letter = unreadable(key=key.encode())
    with KafkaAnnouncer(settings) as announcer:
        stored = sent(settings, announcer, letter)
        dead_letters.replay(
            stored, announcer, by="ann@desk", reason="reader upgraded — ok", timeout_seconds=TIMEOUT_SECONDS
        )
    (record,) = records(settings, Topic.MODEL_ACKS, key)
    assert record.value() == letter.raw
    assert dict(record.headers() or []) == {
        "modelcast-replayed-from": f"dead-letters@{stored.offset}".encode(),
        "modelcast-replayed-by": b"ann@desk",
        "modelcast-replay-reason": "reader upgraded — ok".encode(),
    }


def test_a_letter_shows_each_time_that_it_was_replayed_and_notes_are_no_letters(settings: Settings) -> None:
    with KafkaAnnouncer(settings) as announcer:
        stored = sent(settings, announcer, unreadable())
        for by in ("ann", "bob"):
            dead_letters.replay(stored, announcer, by=by, reason=f"asked by {by}", timeout_seconds=TIMEOUT_SECONDS)
        announcer.announce(Topic.DEAD_LETTERS, replays.NOTE_KEY, b"rubbish", timeout_seconds=TIMEOUT_SECONDS)
    found = dead_letters.find(settings, stored.offset)
    assert [(r.offset, r.by, r.reason) for r in found.replays] == [
        (stored.offset, "ann", "asked by ann"),
        (stored.offset, "bob", "asked by bob"),
    ]
    assert found.replays[0].at_us >= stored.received_at_us
    assert dead_letters.read(settings, last=1) == [found], "the newest letter, however many notes stand behind it"
    with pytest.raises(NotFound):
        dead_letters.find(settings, stored.offset + 1)


@pytest.mark.parametrize(
    ("letter", "why"),
    [
        (unreadable(bytes(200_000)), "131072 of 200000"),
        (unreadable(key=b"\xff"), "not text"),
        (unreadable(topic="somewhere"), "somewhere"),
    ],
)
def test_what_cannot_go_back_whole_is_refused_and_nothing_is_noted(
    settings: Settings, letter: DeadLetter, why: str
) -> None:
    with KafkaAnnouncer(settings) as announcer:
        stored = sent(settings, announcer, letter)
        with pytest.raises(Refused, match=why):
            dead_letters.replay(stored, announcer, by="ann", timeout_seconds=TIMEOUT_SECONDS)
    assert dead_letters.find(settings, stored.offset).replays == ()


def test_a_reason_that_is_too_long_is_refused_before_anything_is_sent(settings: Settings) -> None:
    key = f"model-{uuid.uuid4().hex[:12]}"
    with KafkaAnnouncer(settings) as announcer:
        stored = sent(settings, announcer, unreadable(key=key.encode()))
        with pytest.raises(UsageError, match="1025"):
            dead_letters.replay(stored, announcer, by="ann", reason="x" * 1025, timeout_seconds=TIMEOUT_SECONDS)
    assert records(settings, Topic.MODEL_ACKS, key) == []


@pytest.mark.parametrize(
    "value", [None, b"", b"[]", b"{", b'{"replayed_offset": "1", "by": "a", "reason": ""}', b" " * 9000]
)
def test_what_is_no_note_notes_nothing(value: bytes | None) -> None:
    assert replays.read_note(b"replayed", value, 1) is None
    assert replays.read_note(b"model-acks", replays.encode_note(1, "ann", ""), 1) is None
