"""Models that are named and that the registry does not hold: what they cost, and what is kept of them."""

import asyncio
import time

import pytest

from modelcast.infra.registry import newcomers
from modelcast.infra.registry.shared_listing import LISTING_SECONDS_MIN
from modelcast.schemas import keys
from modelcast.schemas.codec import encode
from modelcast.schemas.errors import StoreUnavailable
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.records import ModelAck, ModelUpdate
from tests.agents.tracker.bench import Bench
from tests.agents.tracker.makers import MODEL, REGISTRY, log_of, pages, pod, update
from tests.support.records.folding import stated

MADE_UP = [f"made-up-{number}" for number in range(100)]


def entry(model: str, generation: int = 1) -> bytes:
    """The bytes of a first entry of the model's log."""
    return stated(ModelLog(model, REGISTRY), update(generation, generation, model=model)).body


@pytest.fixture
def bench(bench: Bench) -> Bench:
    for kind in (ModelAck, ModelUpdate):
        bench.knows(kind)
    bench.epochs.update(eu=3, us=3)
    bench.store.put(keys.log_entry(MODEL, 1), entry(MODEL))
    return bench


async def test_reports_on_models_that_there_are_not_cost_one_listing_and_leave_nothing(bench: Bench) -> None:
    await bench.report(epoch=3, sequence=1)
    before, began = len(bench.store.requests), time.monotonic()
    for _ in range(3):
        for name in MADE_UP:
            await bench.report(model=name)
    await bench.until(lambda: not bench.heard.undecided)
    listings = 2 + (time.monotonic() - began) / LISTING_SECONDS_MIN
    assert len(bench.store.requests) - before <= 2 * listings  # of two requests each
    assert set(bench.rows.models) == {MODEL}
    assert all(key.startswith(f"row/{MODEL}/".encode()) for key in bench.table)
    assert bench.buried == ["unknown-model"]  # one letter tells of all
    assert "eu" not in bench.looks[1:]


async def test_announcements_of_models_that_there_are_not_cost_one_listing_and_leave_nothing(bench: Bench) -> None:
    await bench.announce(entry(MODEL))
    before = len(bench.store.requests)
    for name in MADE_UP:
        await bench.announce(entry(name), name)
    await bench.until(lambda: len(bench.refused) == len(MADE_UP))
    assert bench.refused == ["not-in-log"] * len(MADE_UP)
    assert len(bench.store.requests) - before <= 4
    assert set(bench.rows.models) == {MODEL}
    assert not any(b"made-up" in key for key in bench.table)


async def test_a_model_that_is_reported_on_before_its_log_was_read_is_shown_at_once(bench: Bench) -> None:
    bench.store.put(keys.log_entry("new", 1), entry("new"))
    running = asyncio.create_task(bench.watch.run())
    try:
        for name in MADE_UP:
            await bench.report(model=name)
        await bench.report(model="new", epoch=3, sequence=7)
        await bench.until(lambda: bench.order(model="new") == (3, 7) and bench.rows.models["new"].log)
        await bench.report(model="new", epoch=3, sequence=8)
        assert any(key.startswith(b"row/new/") for key in bench.table)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_while_the_store_is_away_what_waits_to_be_known_is_bounded_and_no_true_model_looks_old(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(newcomers, "NEWCOMERS_MAX", 10)
    monkeypatch.setattr(newcomers, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr("modelcast.infra.registry.shared_listing.AWAY_SECONDS_FIRST", 0.05)
    await bench.report(epoch=3, sequence=1)

    def away(prefix: str) -> None:
        raise StoreUnavailable("no answer")

    folders = bench.store.folders
    monkeypatch.setattr(bench.store, "folders", away)
    for name in MADE_UP:
        await bench.report(model=name)
        await bench.announce(entry(name), name)
    assert len(bench.heard.undecided) == 10
    assert bench.reading.unread_since_us(MODEL) == 0
    monkeypatch.setattr(bench.store, "folders", folders)
    await bench.until(lambda: not bench.heard.undecided)
    assert set(bench.rows.models) == {MODEL}


async def test_only_what_the_log_bears_out_counts_as_announced(bench: Bench) -> None:
    """A made-up announcement of a high generation would keep the tracker from announcing true ones."""
    running = asyncio.create_task(bench.watch.run())
    try:
        await bench.announce(entry(MODEL, 900))
        await bench.until(lambda: bench.refused == ["not-in-log"])
        assert bench.rows.row(MODEL).announced is None
        await bench.announce(entry(MODEL))
        await bench.until(lambda: bench.rows.row(MODEL).announced == 1)
        (ack,) = pages("eu", [pod("a", 1, 1)], epoch=3)
        await bench.ack(encode(ack))
        assert bench.table[f"announced/{MODEL}".encode()] == b"1"
        assert bench.rows.row(MODEL).log == log_of(update(1, 1))
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_where_there_is_no_registry_a_flood_asks_for_it_once_a_second(bench: Bench) -> None:
    bench.store.delete(keys.REGISTRY_ID)
    bench.store.delete(keys.log_entry(MODEL, 1))
    before = len(bench.store.requests)
    for name in MADE_UP:
        await bench.report(model=name)
    assert len(bench.store.requests) - before <= 4 * 3
    assert bench.buried == ["foreign-registry"] * len(MADE_UP)
