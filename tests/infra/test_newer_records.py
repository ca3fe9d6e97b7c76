"""A client reads what a newer tracker says: it asks the registry for the schema, once."""

import asyncio
import json
import uuid
from copy import deepcopy
from typing import Any

import pytest

from modelcast.infra.newer_records import NewerRecords
from modelcast.infra.redis_view import Batch, RedisMirror, RedisView, Write
from modelcast.infra.settings import Settings
from modelcast.infra.stores import MemoryStore, configured
from modelcast.schemas import keys
from modelcast.schemas.codec import MARKER
from modelcast.schemas.errors import StoreUnavailable, UnknownSchema
from modelcast.schemas.records import ModelAck, VersionState
from modelcast.schemas.schema_guard import parse_schema
from modelcast.schemas.schema_nodes import fingerprint
from tests.producers.fakes import HookedStore
from tests.schemas.foreign_schemas import EXTRAS, with_every_kind_of_field, written
from tests.support import example_records

EXAMPLES = {path.stem: path for path in example_records.json_files()}
ACK = EXAMPLES["ModelAck.v1.three-pods"]
STATE = next(path for name, path in EXAMPLES.items() if name.startswith("VersionState.") and "one-region" in name)


class Newer:
    """A registry, and what newer software writes."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.away = False
        self.store = MemoryStore("origin")

    def hooked(self, _settings: object) -> HookedStore:
        def before(_call: str, key: str) -> None:
            self.asked.append(key)
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


@pytest.mark.parametrize("away", [False, True])
def test_what_the_registry_does_not_say_is_not_asked_again(newer: Newer, away: bool) -> None:
    newer.away = away
    records, raw = NewerRecords(Settings()), newer.wrote(ACK, put=away)
    for _ in range(3):
        with pytest.raises(UnknownSchema):
            records.decode_as(ModelAck, raw)
    assert len(newer.asked) == 1


@pytest.mark.integration
def test_the_live_view_shows_what_a_newer_tracker_wrote(newer: Newer, redis_url: str) -> None:
    settings = Settings(redis={"url": redis_url})  # type: ignore[arg-type]
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
