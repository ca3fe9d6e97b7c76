"""The chain of a log, and the statements that it chains: what fits in one place of one log fits in no other."""

import hashlib
import random
from dataclasses import replace

import pytest

from modelcast.schemas.avro.schema_book import SchemaBook
from modelcast.schemas.codec import DEFAULT, encode, writer_schema_digest
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import BrokenChain, DecodeError, ForeignRegistry, UnknownSchema
from modelcast.schemas.log.chain import StatedEntry, chain, origin_digest
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.log.statements import read_stated, state
from modelcast.schemas.records import (
    CommandKind,
    CommandTarget,
    LogPosition,
    ModelCommand,
    ModelUpdate,
    RegionHeartbeat,
    Statement,
)
from modelcast.schemas.topics import RECORD_SIZE_MAX
from tests.schemas.log.test_log import EMPTY, update
from tests.support.records.folding import apply_all, stated

LOG = apply_all(EMPTY, (update(n, n) for n in range(1, 4)))


def entry_of(generation: int, version: int) -> ModelUpdate:
    return update(generation, version)


def said_by(statement: Statement, **changes: object) -> bytes:
    """A statement in which nothing but these fields is another."""
    return encode(replace(statement, **changes))  # type: ignore[arg-type]


def statement_of(entry: ModelUpdate, log_digest: str) -> Statement:
    said = encode(entry)
    digest = writer_schema_digest(ModelUpdate)
    return Statement(digest, entry.generation, log_digest, sha256_of(said), said)


def test_the_digest_of_an_empty_log_is_bound_to_registry_and_model() -> None:
    expected = hashlib.sha256(b"modelcast log v1\0fraud\0registry").hexdigest()
    assert origin_digest("registry", "fraud") == f"sha256:{expected}" == EMPTY.digest_at(0)
    assert len({origin_digest(r, m) for r in ("a", "b") for m in ("fraud", "churn")}) == 4


def test_each_link_is_the_hash_of_the_last_and_of_the_statements_hash() -> None:
    previous = EMPTY.digest_at(0)
    body = stated(EMPTY, update(1, 1)).body
    raw = bytes.fromhex(previous[7:]) + hashlib.sha256(body).digest()
    assert chain(previous, body) == "sha256:" + hashlib.sha256(raw).hexdigest() == LOG.digest_at(1)


def test_a_statement_is_read_as_it_was_stated_and_keeps_the_records_own_bytes() -> None:
    entry = update(4, 4)
    made = state(entry, LOG.digest_at(3))
    assert encode(entry) in made.body
    assert read_stated(made.body, book=DEFAULT) == made
    assert LOG.extend(made).head == 4


def test_no_single_bit_of_a_stored_entry_can_be_flipped() -> None:
    """Neither at the end of a log, where no later entry vouches for it, nor below."""
    made = stated(LOG, update(4, 4))
    for bit in range(8 * len(made.body)):
        flipped = bytearray(made.body)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises((DecodeError, ForeignRegistry)):
            LOG.extend(read_stated(bytes(flipped), book=DEFAULT))


def test_an_entry_that_was_replaced_by_a_sound_one_breaks_the_chain_above_it() -> None:
    rewritten = apply_all(EMPTY, [update(1, 1), update(2, 2), update(3, 9)])
    with pytest.raises(BrokenChain, match="fraud generation 4") as caught:
        rewritten.extend(stated(LOG, update(4, 4)))
    assert LOG.digest_at(3)[7:19] in str(caught.value)
    assert rewritten.digest_at(3)[7:19] in str(caught.value)
    assert "restore" in str(caught.value) or "copy" in str(caught.value)


@pytest.mark.parametrize("model", ["churn", "fraud"])
def test_an_entry_fits_in_no_other_log_and_at_no_other_generation(model: str) -> None:
    made = stated(LOG, update(4, 4))
    other = ModelLog(model, "another" if model == "fraud" else "registry")
    with pytest.raises(ForeignRegistry):
        other.extend(made)
    again = replace(update(5, 4), event_id="event-4")
    with pytest.raises(BrokenChain):
        LOG.extend(made).extend(StatedEntry(again, made.log_digest, made.body))


def test_an_entry_that_is_met_again_must_be_the_same_to_the_byte() -> None:
    assert LOG.extend(stated(LOG, update(2, 2))) is LOG
    same_event = replace(update(2, 2), publisher="somebody else")
    with pytest.raises(ForeignRegistry, match="another entry stands here"):
        LOG.extend(stated(LOG, same_event))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"said": encode(update(4, 5))}, "damaged"),
        ({"schema_digest": sha256_of(b"another")}, "another one has its fingerprint"),
        ({"log_generation": 5}, "entry 4 in a statement about 5"),
    ],
)
def test_what_a_statement_says_of_itself_must_be_so(changes: dict[str, object], why: str) -> None:
    body = said_by(statement_of(update(4, 4), LOG.digest_at(3)), **changes)
    with pytest.raises(DecodeError, match=why):
        read_stated(body, book=DEFAULT)


def test_only_log_entries_are_stated() -> None:
    beat = encode(RegionHeartbeat("registry", "eu", "w", 1, 1, 1))
    body = encode(Statement(writer_schema_digest(RegionHeartbeat), 1, LOG.digest_at(3), sha256_of(beat), beat))
    for raw in (body, beat, encode(update(1, 1)), b"", None, b"\xc3\x01"):
        with pytest.raises(DecodeError):
            read_stated(raw, book=DEFAULT)


def test_the_statements_own_schema_is_never_looked_up() -> None:
    with pytest.raises(DecodeError) as caught:
        read_stated(b"\xc3\x01" + b"\x07" * 8 + b"rest", book=SchemaBook())
    assert not isinstance(caught.value, UnknownSchema)


def test_bytes_that_announce_enormous_sizes_are_refused_without_making_room_for_them() -> None:
    head = encode(statement_of(update(4, 4), LOG.digest_at(3)))[:10]
    enormous = b"\xfe\xff\xff\xff\xff\xff\xff\xff\x3f"  # 2^60 and some, as Avro writes a long
    for field in range(5):
        texts = b"\x02a" * min(field, 1) + (b"\x02" if field >= 2 else b"") + b"\x02a" * max(0, field - 2)
        with pytest.raises(DecodeError):
            read_stated(head + texts + enormous, book=DEFAULT)
    with pytest.raises(DecodeError, match="more than"):
        read_stated(head + bytes(RECORD_SIZE_MAX), book=DEFAULT)


def test_rubbish_raises_nothing_but_decode_errors() -> None:
    rng, sound = random.Random(7), stated(LOG, update(4, 4)).body
    for _ in range(3_000):
        body = bytearray(sound)
        for _ in range(rng.randint(1, 8)):
            body[rng.randrange(len(body))] = rng.randrange(256)
        body = body[: rng.randint(0, len(body))] if rng.random() < 0.3 else body
        if bytes(body) == sound:
            continue
        with pytest.raises((DecodeError, ForeignRegistry)):
            LOG.extend(read_stated(bytes(body), book=DEFAULT))


# --- what a region may obey -------------------------------------------------------------------------------------


def accept(log: ModelLog, *replaces: LogPosition) -> ModelLog:
    command = ModelCommand(
        "registry", f"event-{log.head + 1}", "fraud", log.head + 1, CommandKind.ACCEPT, (CommandTarget(),), 0, "ann",
        "restored", replaces=replaces,
    )  # fmt: skip
    return log.extend(stated(log, command))


def test_a_log_answers_what_it_holds_and_what_a_person_gave_up_above_it() -> None:
    lost = LogPosition(3, LOG.digest_at(3))
    assert LOG.answers(lost)
    assert LOG.answers(LogPosition(0, ""))
    rewritten = apply_all(EMPTY, [update(1, 1), update(2, 2)])
    assert not rewritten.answers(lost)
    below = accept(rewritten, lost)
    assert not below.answers(lost), "its generation is not above the one that was given up"
    above = accept(below, lost)
    assert above.answers(lost)
    assert not above.answers(LogPosition(3, sha256_of(b"yet another")))
    assert above.aspiration("eu").generation == 4
    assert above.aspiration("eu").reload_generation == 4, "a version's number may mean other bytes now"
    assert above.aspiration("eu").version == 2


def test_an_event_stands_in_a_log_once_however_well_it_is_chained() -> None:
    """A signed rollback of last year, signed again by its own key's holder, is still the same event."""
    again = replace(update(4, 4), event_id=LOG.event_ids[1])
    with pytest.raises(BrokenChain, match="event-2 stands at generation 2 already") as caught:
        LOG.extend(stated(LOG, again))
    assert caught.value.reason == "repeated-event"
    assert LOG.extend(stated(LOG, update(2, 2))) is LOG, "the entry itself may be met again"
    other_future = LOG.extend(stated(LOG, update(4, 4)))
    assert LOG.extend(stated(LOG, replace(update(4, 5), event_id="event-4"))).latest_version == 5
    assert other_future.generations["event-4"] == 4
