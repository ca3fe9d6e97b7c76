"""Reading and claiming, on a store in memory that can be made to fail in S3's ways."""

import threading

import pytest

from modelcast.infra.registry.claim import AlreadyThere, Claimed, claim, put_schema, put_schemas
from modelcast.infra.registry.reader import RegistryReader, Tail
from modelcast.infra.stores import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.avro.schema_book import SchemaBook
from modelcast.schemas.codec import WRITER_SCHEMAS, writer_schema
from modelcast.schemas.errors import (
    ContentError,
    DecodeError,
    ForeignRegistry,
    StoreUnavailable,
    UnknownSchema,
)
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.records import ModelUpdate
from tests.infra.registry.registry_parts import CountingStore, filled, publish, update
from tests.support.records.folding import apply_all, stated


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


@pytest.fixture
def reader(store: CountingStore) -> RegistryReader:
    reader = RegistryReader(store)
    reader.registry_id(create=True)
    return reader


def test_the_next_entry_costs_one_request(store: CountingStore, reader: RegistryReader) -> None:
    old = filled(reader, 3)
    publish(reader, old, "the-fourth")
    store.calls.clear()
    tail = RegistryReader(store, book=reader.book, expected_id=old.registry_id).read_until(old, 4)
    assert tail.log.head == 4
    assert dict(store.calls) == {"get": 1}
    assert set(tail.times_us) == {4}
    assert tail.new[4].body == stated(old, tail.new[4].entry).body


def test_a_tail_with_nothing_new_costs_one_request(store: CountingStore, reader: RegistryReader) -> None:
    log = filled(reader, 2)
    store.calls.clear()
    assert reader.tail("fraud", log).log == log
    assert dict(store.calls) == {"get": 1}


@pytest.mark.parametrize("known", [0, 1, 39, 40])
def test_a_tail_equals_the_fold_of_all_entries_from_wherever_it_starts(reader: RegistryReader, known: int) -> None:
    whole = filled(reader, 40)
    entries = [timed.entry for g in range(1, known + 1) if (timed := reader.entry("fraud", g))]
    begun = apply_all(reader.open_log("fraud"), entries)
    tail = reader.tail("fraud", begun)
    assert tail.log == whole
    assert sorted(tail.new) == list(range(known + 1, 41))


def test_an_announced_generation_that_nobody_claimed_changes_nothing(
    store: CountingStore, reader: RegistryReader
) -> None:
    log = filled(reader, 2)
    assert reader.read_until(log, 5).log == log
    store.calls.clear()
    assert reader.read_until(log, 2**62).log == log
    assert sum(store.calls.values()) <= 2


def test_models_and_heads_are_read_from_the_store(reader: RegistryReader) -> None:
    filled(reader, 3, "fraud")
    filled(reader, 1, "churn")
    assert reader.models() == ["churn", "fraud"]
    assert reader.heads() == {"churn": 1, "fraud": 3}


def test_heads_that_are_known_are_not_listed_again(store: CountingStore, reader: RegistryReader) -> None:
    logs = {model: filled(reader, 3, model) for model in ("churn", "fraud")}
    assert reader.heads() == {"churn": 3, "fraud": 3}
    store.logs_listed.clear()
    assert reader.heads() == {"churn": 3, "fraud": 3}
    assert store.logs_listed == []
    publish(RegistryReader(store), logs["fraud"], "new")
    store.logs_listed.clear()
    assert reader.heads() == {"churn": 3, "fraud": 4}
    assert store.logs_listed == [keys.log_prefix("fraud")]
    assert reader.heads(lambda model: model == "fraud") == {"fraud": 4}


def test_a_model_may_be_called_schemas(reader: RegistryReader) -> None:
    filled(reader, 1, "schemas")
    assert reader.models() == ["schemas"]
    assert reader.tail("schemas").log.head == 1


def test_an_unknown_writers_schema_is_fetched_from_the_registry(store: CountingStore, reader: RegistryReader) -> None:
    filled(reader, 1)
    fingerprint, text = writer_schema(ModelUpdate)
    with_nothing = RegistryReader(store, book=SchemaBook(own=()))
    assert with_nothing.tail("fraud").log.head == 1
    assert fingerprint in with_nothing.book
    store.delete(keys.schema(fingerprint))
    with pytest.raises(UnknownSchema):
        RegistryReader(store, book=SchemaBook(own=())).tail("fraud")
    store.put(keys.schema(fingerprint), text.replace("ModelUpdate", "ModelCommand").encode())
    with pytest.raises(DecodeError):
        RegistryReader(store, book=SchemaBook(own=())).tail("fraud")


def test_what_lies_under_another_key_than_it_says_is_refused(store: CountingStore, reader: RegistryReader) -> None:
    log = filled(reader, 1)
    body = store.get(keys.log_entry("fraud", 1), size_max=10**6)
    assert body is not None
    store.put(keys.log_entry("fraud", 2), body.body)
    with pytest.raises(ForeignRegistry):
        reader.tail("fraud", log)


def test_rubbish_in_the_log_names_its_key(store: CountingStore, reader: RegistryReader) -> None:
    store.put(keys.log_entry("fraud", 1), b"rubbish")
    with pytest.raises(DecodeError, match="registry/fraud/log"):
        reader.tail("fraud")


@pytest.mark.parametrize("until", [None, 5, 40])
def test_a_reader_that_is_content_with_a_part_gets_what_stands_below_rubbish(
    store: CountingStore, reader: RegistryReader, until: int | None
) -> None:
    filled(reader, 5)
    found = store.get(keys.log_entry("fraud", 4), size_max=10**6)
    assert found is not None
    store.put(keys.log_entry("fraud", 4), b"rubbish")
    log = reader.open_log("fraud")

    def read(log: ModelLog) -> Tail:
        if until is None:
            return reader.tail("fraud", log, partial=True)
        return reader.read_until(log, until, partial=True)

    tail = read(log)
    assert (tail.log.head, sorted(tail.new)) == (3, [1, 2, 3])
    assert "registry/fraud/log" in str(tail.unread)
    again = read(tail.log)
    assert (again.log.head, again.new) == (3, {})
    assert again.unread is not None
    store.put(keys.log_entry("fraud", 4), found.body)
    mended = read(tail.log)
    assert (mended.log.head, mended.unread) == (5, None)


def test_a_lost_answer_does_not_make_a_second_entry(store: CountingStore, reader: RegistryReader) -> None:
    store.puts_lost = 1
    claimed = publish(reader, reader.open_log("fraud"), "mine")
    assert claimed.entry.generation == 1
    assert reader.heads() == {"fraud": 1}


def test_a_conflict_retries_the_same_generation(store: CountingStore, reader: RegistryReader) -> None:
    store.puts_refused = 3
    assert publish(reader, reader.open_log("fraud"), "mine").entry.generation == 1
    assert reader.heads() == {"fraud": 1}


def test_a_store_that_never_says_is_given_up_and_the_claim_can_be_repeated(
    store: CountingStore, reader: RegistryReader
) -> None:
    store.puts_refused = 10**6
    with pytest.raises(StoreUnavailable, match="run the same command again"):
        claim(reader, reader.open_log("fraud"), "mine", lambda log: update(log, "mine"), deadline_seconds=0.1)
    store.puts_refused = 0
    store.puts_lost = 10**6
    claim(reader, reader.open_log("fraud"), "mine", lambda log: update(log, "mine"))
    again = publish(reader, reader.open_log("fraud"), "mine")
    assert again.entry.event_id == "mine"
    assert reader.heads() == {"fraud": 1}


def test_who_loses_folds_the_winner_and_takes_the_next(reader: RegistryReader) -> None:
    old = reader.open_log("fraud")
    publish(reader, old, "first")
    publish(reader, old, "second")
    seen: list[int] = []

    def build(log: ModelLog) -> ModelUpdate:
        seen.append(log.head)
        return update(log, "third")

    claimed = claim(reader, old, "third", build)
    assert seen == [0, 2]
    assert claimed.log == reader.tail("fraud").log
    assert claimed.log.event_ids == ("first", "second", "third")


def test_who_loses_validates_again(reader: RegistryReader) -> None:
    old = reader.open_log("fraud")
    publish(reader, old, "first")
    with pytest.raises(ContentError, match="version exists"):
        claim(reader, old, "second", lambda log: update(log, "second", version=1))
    assert reader.heads() == {"fraud": 1}


def test_an_event_that_stands_in_the_log_is_found_even_below_newer_ones(reader: RegistryReader) -> None:
    log = filled(reader, 1)
    first = log.event_ids[0]
    publish(reader, log, "newer")
    again = claim(reader, log, first, lambda known: update(known, first))
    assert again == AlreadyThere(log, 1)
    assert reader.heads() == {"fraud": 2}


def test_an_event_that_the_fold_knows_is_not_even_built_again(reader: RegistryReader) -> None:
    log = filled(reader, 3)

    def never(_log: ModelLog) -> ModelUpdate:
        raise AssertionError("built an entry for an event that stands in the log")

    assert claim(reader, log, log.event_ids[1], never) == AlreadyThere(log, 2)


def test_who_loses_to_what_makes_its_entry_needless_writes_none(reader: RegistryReader) -> None:
    old = reader.open_log("fraud")
    publish(reader, old, "first")
    found = claim(reader, old, "second", lambda log: None if log.head else update(log, "second"))
    assert found == AlreadyThere(reader.tail("fraud").log)
    assert reader.heads() == {"fraud": 1}


def test_an_entry_of_the_same_event_that_another_run_was_faster_with_is_the_claims_own(reader: RegistryReader) -> None:
    old = reader.open_log("fraud")
    first = publish(reader, old, "mine")
    assert publish(reader, old, "mine") == first
    assert reader.heads() == {"fraud": 1}


@pytest.mark.parametrize("gone", [True, False])
def test_a_store_that_holds_another_newest_entry_or_none_is_noticed(
    store: CountingStore, reader: RegistryReader, gone: bool
) -> None:
    older = filled(reader, 1)
    log = publish(reader, older, "newest").log
    reader.check_standing(log)
    reader.check_standing(reader.open_log("fraud"))
    store.delete(keys.log_entry("fraud", 2))
    if not gone:
        store.put(keys.log_entry("fraud", 2), stated(older, update(older, "another")).body)
    with pytest.raises(ForeignRegistry, match="fraud generation 2"):
        reader.check_standing(log)


def test_racing_claims_stand_once_each_in_one_order(reader: RegistryReader) -> None:
    claimed: list[Claimed] = []

    def race(number: int) -> None:
        log = reader.open_log("fraud")
        for turn in range(5):
            got = publish(reader, log, f"event-{number}-{turn}")
            claimed.append(got)
            log = got.log

    threads = [threading.Thread(target=race, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log = reader.tail("fraud").log
    assert log.head == 30
    assert sorted(log.event_ids) == sorted(c.entry.event_id for c in claimed)
    assert sorted(log.updates) == list(range(1, 31))
    assert all(log.event_ids[c.entry.generation - 1] == c.entry.event_id for c in claimed)


def test_a_schema_is_put_once_a_process(store: CountingStore) -> None:
    put_schema(store, ModelUpdate)
    put_schema(store, ModelUpdate)
    assert store.calls["put"] == 1
    fingerprint, text = writer_schema(ModelUpdate)
    found = store.get(keys.schema(fingerprint), size_max=10**6)
    assert found is not None
    assert found.body.decode() == text


def test_setting_up_puts_the_schema_of_every_record_there_once() -> None:
    store = MemoryStore()
    put_schemas(store)
    there = {info.key: info.etag for info in store.list(keys.SCHEMA_PREFIX)}
    assert set(there) == {keys.schema(fingerprint) for fingerprint in WRITER_SCHEMAS}
    put_schemas(store)
    assert {info.key: info.etag for info in store.list(keys.SCHEMA_PREFIX)} == there
