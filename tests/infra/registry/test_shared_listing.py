"""One listing answers all who ask; a store that does not answer is left alone; unknown names are remembered a while."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from modelcast.infra.registry.shared_listing import SharedListing, UnknownModels
from modelcast.schemas.errors import StoreUnavailable


class Registry:
    def __init__(self) -> None:
        self.models = {"fraud"}
        self.listed = 0
        self.away = False
        self.gate = threading.Event()
        self.gate.set()

    def names(self) -> set[str]:
        self.listed += 1
        found = set(self.models)
        self.gate.wait(10)
        if self.away:
            raise StoreUnavailable("away")
        return found


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


async def test_a_burst_costs_one_listing(threads: ThreadPoolExecutor) -> None:
    registry = Registry()
    listing = SharedListing(registry.names, threads, seconds_min=0.05)
    found = await asyncio.gather(*(listing.names() for _ in range(300)))
    assert set(found) == {frozenset({"fraud"})}
    assert registry.listed == 1


async def test_whoever_asks_while_a_listing_runs_gets_one_that_began_later(threads: ThreadPoolExecutor) -> None:
    registry = Registry()
    registry.gate.clear()
    listing = SharedListing(registry.names, threads, seconds_min=0.0)
    early = asyncio.create_task(listing.names())
    while not registry.listed:
        await asyncio.sleep(0.001)
    registry.models.add("new")  # claimed after the listing had begun
    late = [asyncio.create_task(listing.names()) for _ in range(5)]
    await asyncio.sleep(0.01)
    registry.gate.set()
    assert "new" not in await early
    assert all("new" in names for names in await asyncio.gather(*late))
    assert registry.listed == 2


async def test_a_steady_flood_lists_no_more_often_than_allowed(threads: ThreadPoolExecutor) -> None:
    registry = Registry()
    listing = SharedListing(registry.names, threads, seconds_min=0.2)
    began = time.monotonic()
    while time.monotonic() - began < 0.5:
        await listing.names()
    assert registry.listed <= 4


async def test_a_store_that_does_not_answer_is_left_alone_for_a_while(
    threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelcast.infra.registry.shared_listing.AWAY_SECONDS_FIRST", 0.2)
    registry = Registry()
    registry.away = True
    listing = SharedListing(registry.names, threads, seconds_min=0.0)
    for _ in range(20):
        with pytest.raises(StoreUnavailable):
            await listing.names()
    assert registry.listed == 1
    registry.away = False
    await asyncio.sleep(0.25)
    assert await listing.names() == {"fraud"}


def test_unknown_models_are_forgotten_in_time_and_never_fill_the_memory() -> None:
    unknown = UnknownModels(seconds=30.0, most=3)
    for number in range(5):
        unknown.remember(f"m{number}", now=float(number))
    assert len(unknown) == 3
    assert not unknown.holds("m0", now=5.0)
    assert unknown.holds("m4", now=5.0)
    assert not unknown.holds("m4", now=40.0)
