"""Reading and claiming, on a store in memory that can be made to fail in S3's ways."""

import json
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from modelcast.infra.registry.claim import AlreadyThere, Claimed, claim, put_schema, put_schemas
from modelcast.infra.registry.reader import RegistryReader, Tail
from modelcast.infra.registry.restore_id import named_ids, restore_id
from modelcast.infra.stores import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.avro.schema_book import SchemaBook
from modelcast.schemas.codec import WRITER_SCHEMAS, writer_schema
from modelcast.schemas.errors import (
    BrokenChain,
    ContentError,
    DecodeError,
    ForeignRegistry,
    NotFound,
    Refused,
    RegistryIdLost,
    StoreUnavailable,
    UnknownSchema,
)
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.ports import ObjectInfo, StoredObject
from modelcast.schemas.records import ArtifactRef, ModelUpdate
from tests.support.folding import apply_all, in_statement, stated
from tests.support.forged_schemas import forged_schema


class CountingStore(MemoryStore):
    """Counts requests; the ``puts_lost`` next conditional puts happen, but their answers are lost."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.logs_listed: list[str] = []
        self.puts_lost = 0
        self.puts_refused = 0

    def get(self, key: str, *, size_max: int) -> StoredObject | None:
        self.calls["get"] += 1
        return super().get(key, size_max=size_max)

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectInfo]:
        self.calls["list"] += 1
        if prefix != keys.log_prefix("schemas"):  # is that a model?
            self.logs_listed.append(prefix)
        return super().list(prefix, start_after=start_after)

    def put(self, key: str, body: bytes, *, if_absent: bool = False, if_match: str | None = None) -> ObjectInfo:
        self.calls["put"] += 1
        if "/log/" in key and self.puts_refused:
            self.puts_refused -= 1
            raise StoreUnavailable("409 ConditionalRequestConflict")
        info = super().put(key, body, if_absent=if_absent, if_match=if_match)
        if "/log/" in key and self.puts_lost:
            self.puts_lost -= 1
            raise StoreUnavailable("timed out")
        return info


DIGEST = "sha256:" + "ab" * 32


def update(log: ModelLog, event_id: str, version: int | None = None) -> ModelUpdate:
    return ModelUpdate(
        registry_id=log.registry_id,
        event_id=event_id,
        model=log.model,
        version=version or log.next_version,
        generation=log.head + 1,
        artifact=ArtifactRef("origin", keys.manifest(DIGEST), DIGEST, 10, 1, "onnx"),
        published_at_us=1_700_000_000_000_000,
    )


def publish(reader: RegistryReader, log: ModelLog, event_id: str) -> Claimed:
    return claim(reader, log, event_id, lambda known: update(known, event_id))


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


@pytest.fixture
def reader(store: CountingStore) -> RegistryReader:
    reader = RegistryReader(store)
    reader.registry_id(create=True)
    return reader


def filled(reader: RegistryReader, count: int, model: str = "fraud") -> ModelLog:
    log = reader.open_log(model)
    for number in range(count):
        log = publish(reader, log, f"event-{log.head + 1}-{number}").log
    return log


def test_the_registry_id_is_made_once_and_the_same_for_everybody(store: CountingStore) -> None:
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(RegistryReader(store).registry_id(create=True))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert RegistryReader(store).registry_id() == found[0]


@pytest.mark.parametrize("create", [True, False])
def test_a_registry_that_another_publisher_makes_and_fills_meanwhile_is_taken(
    store: CountingStore, monkeypatch: pytest.MonkeyPatch, create: bool
) -> None:
    """Between a look for the id, which is not there yet, and a look for entries."""
    listed = store.folders

    def folders(prefix: str) -> list[str]:
        monkeypatch.setattr(store, "folders", listed)
        other = RegistryReader(store)
        other.registry_id(create=True)
        publish(other, other.open_log("fraud"), "of the other")
        return list(listed(prefix))

    monkeypatch.setattr(store, "folders", folders)
    assert RegistryReader(store).registry_id(create=create) == RegistryReader(store).registry_id()


def test_an_empty_store_has_no_registry_until_somebody_publishes(store: CountingStore) -> None:
    with pytest.raises(NotFound):
        RegistryReader(store).registry_id()


def test_another_registry_than_the_expected_one_is_refused(store: CountingStore, reader: RegistryReader) -> None:
    with pytest.raises(ForeignRegistry):
        RegistryReader(store, expected_id="another").registry_id(create=True)


def test_a_wiped_store_is_noticed_and_never_gets_a_new_id_from_one_who_knew_the_old(
    store: CountingStore, reader: RegistryReader
) -> None:
    store.delete(keys.REGISTRY_ID)
    with pytest.raises(ForeignRegistry):
        reader.read_registry_id(create=True)
    RegistryReader(store).registry_id(create=True)
    with pytest.raises(ForeignRegistry):
        reader.read_registry_id()


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


# --- the chain, as the store gives it -----------------------------------------------------------------------------


def body_of(store: CountingStore, generation: int) -> bytes:
    found = store.get(keys.log_entry("fraud", generation), size_max=10**6)
    assert found is not None
    return found.body


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


def test_an_id_is_not_made_where_logs_stand_and_their_entries_tell_which_it_was(
    store: CountingStore, reader: RegistryReader
) -> None:
    filled(reader, 1)
    filled(reader, 1, model="churn")
    known = reader.registry_id()
    with pytest.raises(Refused, match="has an id"):
        restore_id(reader, known)
    store.delete(keys.REGISTRY_ID)
    for create in (True, False):
        with pytest.raises(RegistryIdLost, match=r"holds logs \(churn, fraud\)"):
            RegistryReader(store).registry_id(create=create)
    store.put(keys.log_entry("rubbish", 1), b"rubbish")
    assert named_ids(RegistryReader(store)) == {known: ["churn", "fraud"]}
    restore_id(RegistryReader(store), known)
    assert RegistryReader(store).registry_id() == known


def test_a_store_without_logs_has_lost_no_id(store: CountingStore) -> None:
    with pytest.raises(NotFound, match="no logs"):
        named_ids(RegistryReader(store))
