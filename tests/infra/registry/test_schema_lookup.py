"""Unknown schemas are learnt once, and made-up ones cost little."""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from modelcast.infra.registry import schema_lookup
from modelcast.infra.registry.schema_lookup import (
    ABSENT_SECONDS,
    AWAY_SECONDS,
    LOOKUPS_AT_ONCE,
    LOOKUPS_PER_SECOND,
    SchemaLookup,
)
from modelcast.schemas.errors import StoreUnavailable, UnknownSchema


def unknown(number: int) -> UnknownSchema:
    return UnknownSchema("not known here", reason="unknown-schema", subject=f"{number:016x}")


class Registry:
    """Holds some schemas; counts who asks; may be away, or slow."""

    def __init__(self) -> None:
        self.held: set[str] = set()
        self.known: set[str] = set()
        self.asked: Counter[str] = Counter()
        self.away = False
        self.slow = threading.Event()
        self.slow.set()
        self.now = 1000.0
        self.lookup = SchemaLookup(self.learn, clock=lambda: self.now, answer_seconds_max=0.05)

    def learn(self, fingerprint: str) -> None:
        self.asked[fingerprint] += 1
        assert self.slow.wait(60)
        if self.away:
            raise StoreUnavailable("away")
        if fingerprint not in self.held:
            raise unknown(int(fingerprint, 16))
        self.known.add(fingerprint)

    def decode(self, number: int) -> str:
        fingerprint = f"{number:016x}"
        if fingerprint not in self.known:
            raise unknown(number)
        return f"record of {number}"

    async def read(self, number: int) -> str:
        return await self.lookup.decoding(lambda: self.decode(number))


@pytest.fixture
def registry() -> Iterator[Registry]:
    made = Registry()
    made.lookup._answer_seconds_max = 60.0
    yield made
    made.slow.set()
    made.lookup.close()


async def test_a_schema_that_the_registry_holds_is_learnt_once_for_all_that_wait(registry: Registry) -> None:
    registry.held.add(f"{7:016x}")
    assert await asyncio.gather(*(registry.read(7) for _ in range(50))) == ["record of 7"] * 50
    assert registry.asked.total() == 1


async def test_one_that_it_does_not_hold_is_asked_for_again_only_after_a_while(registry: Registry) -> None:
    for _ in range(20):
        with pytest.raises(UnknownSchema):
            await registry.read(7)
    assert registry.asked.total() == 1
    registry.held.add(f"{7:016x}")
    registry.now += ABSENT_SECONDS
    assert await registry.read(7) == "record of 7"


async def test_made_up_fingerprints_are_refused_without_a_question_beyond_a_few_a_second(registry: Registry) -> None:
    for number in range(1_000):
        with pytest.raises(UnknownSchema):
            await registry.read(number)
    assert registry.asked.total() == LOOKUPS_AT_ONCE
    registry.now += 10.0
    for number in range(1_000, 2_000):
        with pytest.raises(UnknownSchema):
            await registry.read(number)
    assert registry.asked.total() == 2 * LOOKUPS_AT_ONCE
    registry.now += 1.0
    for number in range(2_000, 3_000):
        with pytest.raises(UnknownSchema):
            await registry.read(number)
    assert registry.asked.total() == 2 * LOOKUPS_AT_ONCE + LOOKUPS_PER_SECOND


async def test_what_is_remembered_is_bounded(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema_lookup, "REMEMBERED_MAX", 8)
    for number in range(100):
        registry.now += 1.0
        with pytest.raises(UnknownSchema):
            await registry.read(number)
    assert len(registry.lookup._restraint._refused) == 8


async def test_a_store_that_is_away_says_nothing_about_the_schema(registry: Registry) -> None:
    registry.away = True
    registry.held.add(f"{7:016x}")
    for _ in range(5):
        with pytest.raises(StoreUnavailable):
            await registry.read(7)
    assert registry.asked.total() == 1
    registry.away = False
    registry.now += AWAY_SECONDS
    assert await registry.read(7) == "record of 7"


async def test_nobody_waits_long_for_a_store_that_does_not_answer(registry: Registry) -> None:
    registry.lookup._answer_seconds_max = 0.05
    registry.slow.clear()
    registry.held.add(f"{7:016x}")
    with pytest.raises(StoreUnavailable):
        await registry.read(7)
    registry.slow.set()
    registry.lookup._answer_seconds_max = 60.0
    registry.now += AWAY_SECONDS
    assert await registry.read(7) == "record of 7"  # by the first question or a second one
