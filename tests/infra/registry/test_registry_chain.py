"""The chain of a log's entries, as the store gives it: what was rewritten, lost or forged is found."""

import json

import pytest

from modelcast.infra.registry.reader import RegistryReader
from modelcast.schemas import keys
from modelcast.schemas.avro.schema_book import SchemaBook
from modelcast.schemas.codec import writer_schema
from modelcast.schemas.errors import BrokenChain, DecodeError, ForeignRegistry, UnknownSchema
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.records import ModelUpdate
from tests.infra.registry.registry_parts import CountingStore, body_of, filled, publish, update
from tests.support.records.folding import apply_all, in_statement, stated
from tests.support.records.forged_schemas import forged_schema


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


@pytest.fixture
def reader(store: CountingStore) -> RegistryReader:
    reader = RegistryReader(store)
    reader.registry_id(create=True)
    return reader


def replaced(store: CountingStore, generation: int, event_id: str = "forged") -> None:
    """A sound entry in another one's place, as somebody writes it who has read what lies below."""
    below = RegistryReader(store).tail("fraud").log
    older = apply_all(ModelLog("fraud", below.registry_id), [])
    for number in range(1, generation):
        older = older.extend(RegistryReader(store).decode_entry(body_of(store, number)))
    store.put(keys.log_entry("fraud", generation), stated(older, update(older, event_id)).body)


def test_a_replaced_entry_is_found_by_the_link_above_it(store: CountingStore, reader: RegistryReader) -> None:
    filled(reader, 4)
    replaced(store, 2)
    with pytest.raises(BrokenChain, match="fraud generation 3"):
        reader.tail("fraud")
    tail = reader.tail("fraud", partial=True)
    assert (tail.log.head, isinstance(tail.unread, BrokenChain)) == (2, True)


def test_who_had_read_the_replaced_entry_knows_that_the_store_was_rewritten(
    store: CountingStore, reader: RegistryReader
) -> None:
    log = filled(reader, 3)
    replaced(store, 3)
    publish(RegistryReader(store), RegistryReader(store).tail("fraud").log, "goes on from it")
    for read in (
        lambda: reader.tail("fraud", log, partial=True),
        lambda: reader.read_until(log, 4, partial=True),
        lambda: publish(reader, log, "mine"),
    ):
        with pytest.raises(ForeignRegistry, match="fraud generation 3"):
            read()


def test_a_store_that_was_put_back_behind_a_claim_is_noticed_by_its_loser(
    store: CountingStore, reader: RegistryReader
) -> None:
    log = filled(reader, 3)
    store.delete(keys.log_entry("fraud", 3))
    others = RegistryReader(store)
    publish(others, publish(others, others.tail("fraud").log, "theirs").log, "and theirs")
    with pytest.raises(ForeignRegistry):
        publish(reader, log, "mine")
    assert others.tail("fraud").log.head == 4


def test_an_entry_under_our_event_that_follows_another_log_is_not_ours(
    store: CountingStore, reader: RegistryReader
) -> None:
    log = filled(reader, 1)
    store.put(keys.log_entry("fraud", 2), in_statement(update(log, "mine")))
    with pytest.raises(BrokenChain, match="fraud generation 2"):
        publish(reader, log, "mine")


def test_a_missing_entry_below_others_is_named(store: CountingStore, reader: RegistryReader) -> None:
    filled(reader, 5)
    good = body_of(store, 3)
    store.delete(keys.log_entry("fraud", 3))
    tail = reader.tail("fraud", partial=True)
    assert tail.log.head == 2
    assert "fraud generation 3: it is gone, although generation 4 stands above it" in str(tail.unread)
    with pytest.raises(DecodeError):
        reader.tail("fraud")
    store.put(keys.log_entry("fraud", 3), good)
    assert reader.tail("fraud").log.head == 5


def test_an_enormous_object_in_the_log_is_never_read(store: CountingStore, reader: RegistryReader) -> None:
    filled(reader, 2)
    store.put(keys.log_entry("fraud", 3), bytes(64 * 1024 * 1024))
    tail = reader.tail("fraud", partial=True)
    assert tail.log.head == 2
    assert tail.unread is not None
    assert tail.unread.reason == "oversize"


def test_a_schema_forged_to_the_same_fingerprint_is_refused_and_the_right_one_still_learnt(
    store: CountingStore, reader: RegistryReader
) -> None:
    log = filled(reader, 1)
    fingerprint, text = writer_schema(ModelUpdate)
    store.put(keys.schema(fingerprint), forged_schema(json.loads(text), fingerprint).encode())
    newer = RegistryReader(store, book=SchemaBook(own=()))
    with pytest.raises(UnknownSchema, match="another one has its fingerprint") as caught:
        newer.tail("fraud")
    assert "forged or damaged" in caught.value.hint
    store.put(keys.schema(fingerprint), text.encode())
    assert newer.tail("fraud").log == log
