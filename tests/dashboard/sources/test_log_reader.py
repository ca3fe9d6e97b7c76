"""Who did what, read from a store: what is damaged, lost or rewritten is shown as such, and the rest all the same."""

import uuid

import pytest

from modelcast.dashboard.sources import log_reader
from modelcast.dashboard.sources.log_reader import LogSource
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.settings import Settings, StoreSettings
from modelcast.infra.stores import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.log.chain import StatedEntry
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.records import CommandKind, CommandTarget, ModelCommand
from tests.support.records.folding import stated

ENTRIES = 30


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """A log of many entries."""
    store, log = MemoryStore("origin"), ModelLog("fraud", "r")
    for generation in range(1, ENTRIES + 1):
        where = (CommandTarget("", None),)
        entry = ModelCommand("r", uuid.uuid4().hex, "fraud", generation, CommandKind.RELOAD, where, 1, "ann", "")
        claimed: StatedEntry = stated(log, entry)
        store.put(keys.log_entry("fraud", generation), claimed.body)
        log = log.extend(claimed)
    monkeypatch.setattr(log_reader, "registry_of", lambda _: RegistryReader(store))
    return store


def source() -> LogSource:
    return LogSource(Settings(stores={"origin": StoreSettings(url="s3://origin")}))


async def test_the_newest_entries_are_shown_newest_first_and_a_sound_log_without_a_word(store: MemoryStore) -> None:
    lines = await source().newest("fraud", ENTRIES)
    assert [line.generation for line in lines] == list(range(ENTRIES, ENTRIES - log_reader.LINES, -1))
    assert {line.trouble for line in lines} == {""}
    assert len(await source().newest("fraud", 3)) == 3


async def test_what_was_flipped_lost_or_replaced_is_told_and_the_rest_is_shown(store: MemoryStore) -> None:
    def body(generation: int) -> bytes:
        found = store.get(keys.log_entry("fraud", generation), size_max=10**6)
        assert found is not None
        return found.body

    flipped = bytearray(body(28))
    flipped[-1] ^= 1
    store.put(keys.log_entry("fraud", 28), bytes(flipped))
    store.delete(keys.log_entry("fraud", 25))
    oldest = ENTRIES - log_reader.LINES  # not shown; the oldest that is shown follows it
    other = ModelCommand("r", "forged", "fraud", oldest, CommandKind.PAUSE, (CommandTarget("", None),), 1, "eve", "")
    replaced = stated(ModelLog("fraud", "r"), other)
    store.put(keys.log_entry("fraud", oldest), replaced.body)
    lines = {line.generation: line for line in await source().newest("fraud", ENTRIES)}
    assert {g: line.kind for g, line in lines.items() if line.kind != "RELOAD"} == {28: "UNREADABLE", 25: "UNREADABLE"}
    assert "damaged" in lines[28].trouble
    assert "it is gone" in lines[25].trouble
    assert f"but generation {oldest} has" in lines[oldest + 1].trouble
    assert sorted(g for g, line in lines.items() if line.trouble) == [oldest + 1, 25, 28]
