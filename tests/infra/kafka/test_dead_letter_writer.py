"""What a daemon can't use is counted and put on its topic, whatever it holds."""

import pytest

from modelcast.infra.kafka import dead_letter_writer
from modelcast.infra.kafka.dead_letter_writer import DeadLetterWriter
from modelcast.infra.telemetry.metrics import DEAD_LETTERS
from modelcast.schemas.codec import decode_as
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import ContentError
from modelcast.schemas.records import DeadLetter
from modelcast.schemas.topics import DEAD_LETTER_KEPT_MAX, Topic

SAID = list[tuple[Topic, str, bytes]]


def count(topic: str, reason: str) -> float:
    return float(DEAD_LETTERS.labels(topic, reason)._value.get())


@pytest.mark.parametrize("raw", [b"", b"noise", bytes(DEAD_LETTER_KEPT_MAX + 1)])
def test_it_goes_to_the_dead_letters_with_its_reason_and_its_place(raw: bytes) -> None:
    said: SAID = []
    before = count("model-acks", "malformed")
    write = DeadLetterWriter(lambda *what: said.append(what), "tracker t")
    write(raw, reason="malformed", detail="d" * 10_000, topic="model-acks", partition=3, offset=7, key=b"\xff")
    ((topic, key, value),) = said
    letter = decode_as(DeadLetter, value)
    assert (topic, key) == (Topic.DEAD_LETTERS, "model-acks")
    assert (letter.reason, letter.source_partition, letter.source_offset, letter.key) == ("malformed", 3, 7, b"\xff")
    assert (letter.raw, letter.raw_size_bytes) == (raw[:DEAD_LETTER_KEPT_MAX], len(raw))
    assert letter.raw_digest == sha256_of(raw)
    assert letter.reported_by == "tracker t"
    assert count("model-acks", "malformed") == before + 1


def test_a_letter_that_cannot_be_written_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(letter: DeadLetter) -> tuple[bytes, bytes]:
        raise ContentError("too strange")

    said: SAID = []
    monkeypatch.setattr(dead_letter_writer, "encode_dead_letter", refuse)
    write = DeadLetterWriter(lambda *what: said.append(what), "tracker t")
    write(b"x", reason="malformed", detail="", topic="model-acks", partition=0, offset=0, key=None)
    assert said == []
