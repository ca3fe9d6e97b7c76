"""A store that does not answer the tracker, or whose id is damaged: what is not known is said, until it is known."""

import asyncio
import threading

import pytest

from modelcast.agents.tracker import log_watch
from modelcast.agents.tracker.decider import silence
from modelcast.schemas import keys
from modelcast.schemas.errors import StoreUnavailable
from modelcast.schemas.ports import StoredObject
from modelcast.schemas.records import ModelUpdate
from tests.agents.tracker.bench import Bench
from tests.agents.tracker.makers import MODEL, log_of, update
from tests.support.records.folding import stated

ENTRIES = (update(1, 1), update(2, 2))
BODIES = [stated(log_of(*ENTRIES[:n]), entry).body for n, entry in enumerate(ENTRIES, 1)]


async def test_a_damaged_id_of_the_registry_is_an_alarm_with_the_way_out_until_it_is_mended(bench: Bench) -> None:
    bench.knows(ModelUpdate)
    bench.store.put(keys.log_entry(MODEL, 1), BODIES[0])
    bench.rows.row(MODEL).log = log_of(*ENTRIES[:1])
    good = bench.store.get(keys.REGISTRY_ID, size_max=1000)
    assert good is not None
    assert await bench.watch.list_registry()
    bench.store.put(keys.REGISTRY_ID, b"{}")
    bench.changes.clear()
    assert not await bench.watch.list_registry()
    assert keys.REGISTRY_ID in bench.watch.alarm
    assert "modelcast registry restore-id" in bench.watch.alarm
    assert bench.changes == [MODEL]
    assert bench.store.requests[-1] == keys.log_entry(MODEL, 1), "the logs are proved all the same"
    bench.store.put(keys.REGISTRY_ID, good.body)
    assert await bench.watch.list_registry()
    assert bench.watch.alarm == ""


async def test_a_log_that_the_store_keeps_to_itself_is_said_to_be_unread(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "SILENT_SECONDS", 0.1)
    monkeypatch.setattr(log_watch, "RETRY_SECONDS", 0.05)
    bench.knows(ModelUpdate)
    bench.store.put(keys.log_entry(MODEL, 1), BODIES[0])
    running = asyncio.create_task(bench.watch.run())
    try:
        row = bench.rows.row(MODEL)
        await bench.until(lambda: row.log == log_of(*ENTRIES[:1]))
        bench.store.put(keys.log_entry(MODEL, 2), BODIES[1])
        with monkeypatch.context() as away:
            away.setattr(bench.store, "get", _no_answer)
            await bench.announce(BODIES[1])
            await bench.until(lambda: row.alarm.startswith("the log can't be read since "))
            await bench.watch.list_registry()
            assert bench.watch.alarm == ""
            await asyncio.sleep(0.1)
            await bench.watch.list_registry()
            assert bench.watch.alarm.startswith("the registry can't be listed since ")
        await bench.until(lambda: row.log == log_of(*ENTRIES) and not row.alarm)
        await bench.watch.list_registry()
        assert bench.watch.alarm == ""
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_an_announcement_that_comes_while_the_log_is_read_is_not_said_to_be_missing_there(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.knows(ModelUpdate)
    bench.store.put(keys.log_entry(MODEL, 1), BODIES[0])
    running = asyncio.create_task(bench.watch.run())
    second, may_answer, get = keys.log_entry(MODEL, 2), threading.Event(), bench.store.get

    def slow(key: str, *, size_max: int) -> StoredObject | None:
        found = get(key, size_max=size_max)
        assert key != second or may_answer.wait(30)
        return found

    try:
        row = bench.rows.row(MODEL)
        await bench.until(lambda: row.log == log_of(*ENTRIES[:1]))
        monkeypatch.setattr(bench.store, "get", slow)
        bench.store.put(second, BODIES[1])
        await bench.announce(BODIES[1])
        await bench.until(lambda: second in bench.store.requests)
        third = update(3, 3)
        body = stated(log_of(*ENTRIES), third).body
        bench.store.put(keys.log_entry(MODEL, 3), body)
        await bench.announce(body)
        may_answer.set()
        await bench.until(lambda: row.log == log_of(*ENTRIES, third))
        assert bench.refused == []
        await bench.announce(stated(log_of(*ENTRIES, third), update(4, 4)).body)
        await bench.until(lambda: bench.refused == ["not-in-log"])
    finally:
        may_answer.set()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def _no_answer(key: str, *, size_max: int) -> StoredObject | None:
    raise StoreUnavailable("timed out", subject=key)
