"""A client reads what a newer tracker says: it asks the registry for the schema, once."""

import asyncio
import json
import threading
import uuid
from copy import deepcopy
from typing import Any

import pytest

from modelcast.infra.redis_view import Batch, RedisMirror, RedisView, Write
from modelcast.infra.registry.newer_records import NewerRecords, newer_records
from modelcast.infra.registry.schema_lookup import ABSENT_SECONDS, AWAY_SECONDS, LOOKUPS_AT_ONCE
from modelcast.infra.settings import Settings, StoreSettings
from modelcast.infra.stores import MemoryStore, configured
from modelcast.schemas import keys
from modelcast.schemas.avro.schema_guard import parse_schema
from modelcast.schemas.avro.schema_nodes import fingerprint
from modelcast.schemas.codec import MARKER
from modelcast.schemas.errors import StoreUnavailable, UnknownSchema
from modelcast.schemas.records import ModelAck, VersionState
from tests.producers.fakes import HookedStore
from tests.schemas.avro.foreign_schemas import EXTRAS, with_every_kind_of_field, written
from tests.support.records import example_records

EXAMPLES = {path.stem: path for path in example_records.json_files()}
ACK = EXAMPLES["ModelAck.v1.three-pods"]
STATE = next(path for name, path in EXAMPLES.items() if name.startswith("VersionState.") and "one-region" in name)


class Newer:
    """A registry, and what newer software writes."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.away = False
        self.still = threading.Event()
        self.still.set()
        self.store = MemoryStore("origin")

    def hooked(self, _settings: object) -> HookedStore:
        def before(_call: str, key: str) -> None:
            self.asked.append(key)
            self.still.wait(60)
            if self.away:
                raise StoreUnavailable("away")

        return HookedStore(self.store, before=before)

    def wrote(self, path: Any, *, put: bool = True) -> bytes:
        """A record that has fields which nobody here knows; its schema is in the registry if ``put``."""
        schema = with_every_kind_of_field(path.name.split(".")[0])
        text = json.dumps(schema)
        mark = fingerprint(parse_schema(text))
        if put:
            self.store.put(keys.schema(mark.hex()), text.encode())
        return MARKER + mark + written(schema, example_records.plain_of(path) | deepcopy(EXTRAS))


def made_up(number: int) -> bytes:
    return MARKER + number.to_bytes(8, "big") + b"whatever"


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> Newer:
    found = Newer()
    monkeypatch.setattr(configured, "origin_store", found.hooked)
    return found


def test_a_record_in_a_schema_that_the_registry_holds_is_read_and_asked_for_once(newer: Newer) -> None:
    records, raw = NewerRecords(Settings()), newer.wrote(ACK)
    for _ in range(3):
        assert records.decode_as(ModelAck, raw) == example_records.record_of(ACK)
    assert len(newer.asked) == 1


def test_what_the_registry_lacks_is_asked_again_only_much_later(newer: Newer) -> None:
    now = [0.0]
    records, raw = NewerRecords(Settings(), lambda: now[0]), newer.wrote(ACK, put=False)
    for _ in range(3):
        with pytest.raises(UnknownSchema):
            records.decode_as(ModelAck, raw)
    assert len(newer.asked) == 1
    newer.wrote(ACK)
    now[0] = ABSENT_SECONDS + 1
    assert records.decode_as(ModelAck, raw) == example_records.record_of(ACK)


def test_a_store_that_is_away_is_asked_for_nothing_for_a_while(newer: Newer) -> None:
    now = [0.0]
    newer.away = True
    records, raw = NewerRecords(Settings(), lambda: now[0]), newer.wrote(ACK)
    for unreadable in (raw, *(made_up(n) for n in range(50))):
        with pytest.raises(UnknownSchema):
            records.decode_as(ModelAck, unreadable)
    assert len(newer.asked) == 1
    newer.away = False
    now[0] = AWAY_SECONDS + 1
    assert records.decode_as(ModelAck, raw) == example_records.record_of(ACK)


def test_a_store_that_stands_still_is_not_waited_for(newer: Newer) -> None:
    records, raw = NewerRecords(Settings(), answer_seconds_max=0.05), newer.wrote(ACK)
    newer.still.clear()
    try:
        for unreadable in (raw, *(made_up(n) for n in range(50))):
            with pytest.raises(UnknownSchema):
                records.decode_as(ModelAck, unreadable)
    finally:
        newer.still.set()
    assert len(newer.asked) == 1


def test_a_flood_of_made_up_schemas_costs_the_store_little(newer: Newer) -> None:
    records = NewerRecords(Settings(), lambda: 0.0)
    for number in range(500):
        with pytest.raises(UnknownSchema):
            records.decode_as(ModelAck, made_up(number))
    assert len(newer.asked) == LOOKUPS_AT_ONCE


def test_all_who_look_share_what_was_learnt() -> None:
    def settings(url: str) -> Settings:
        return Settings(stores={"origin": StoreSettings(url=url)})

    assert newer_records(settings("s3://a")) is newer_records(settings("s3://a"))
    assert newer_records(settings("s3://a")) is not newer_records(settings("s3://b"))


@pytest.mark.integration
def test_the_live_view_shows_what_a_newer_tracker_wrote(newer: Newer, redis_url: str) -> None:
    settings = Settings(redis={"url": redis_url}, stores={"origin": StoreSettings(url=f"s3://{uuid.uuid4().hex}")})  # type: ignore[arg-type]
    raw, state = newer.wrote(STATE), example_records.record_of(STATE)
    assert isinstance(state, VersionState)
    registry_id = uuid.uuid4().hex

    async def write() -> None:
        mirror = RedisMirror(settings, registry_id)
        try:
            key = mirror.keys.model(state.model)
            await mirror.write(Batch((Write(key, {"v": raw}, 1),), {mirror.keys.models: frozenset({state.model})}))
        finally:
            await mirror.close()

    asyncio.run(write())
    with RedisView(settings, registry_id) as view:
        seen = view.model(state.model)
    assert seen is not None
    assert seen.value == state
