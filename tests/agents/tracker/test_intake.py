"""What the tracker takes in: other writers' schemas are learnt, made-up ones cost little; nothing raises."""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from modelcast.agents.tracker.decider.heartbeats import Heartbeats
from modelcast.agents.tracker.decider.rows import Rows
from modelcast.agents.tracker.intake import Intake
from modelcast.agents.tracker.log_watch import LogWatch, Outlets
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.registry.schema_lookup import LOOKUPS_AT_ONCE
from modelcast.infra.stores.memory import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.avro.schema_book import SchemaBook
from modelcast.schemas.codec import encode, writer_schema
from modelcast.schemas.ports import StoredObject
from modelcast.schemas.records import ModelAck, ModelUpdate, RegionHeartbeat
from modelcast.schemas.topics import partition_of
from tests.agents.tracker.makers import MODEL, REGISTRY, SECOND, log_of, pages, pod, update
from tests.agents.tracker.ports import ports_of, unreadable
from tests.support.folding import stated
from tests.support.waiting import until_async

NOW_US = 10_000 * SECOND


class Store(MemoryStore):
    """Counts which schemas are asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def get(self, key: str, *, size_max: int) -> StoredObject | None:
        if key.startswith("registry/schemas/"):
            self.asked.append(key)
        return super().get(key, size_max=size_max)


class Bench:
    """An intake whose reader knows no schema at all, and the few parts that it speaks to.

    ``epochs``: what regions' state objects say; a region that is not there has no bucket.
    """

    def __init__(self) -> None:
        self.epochs: dict[str, int] = {}
        self.looks: list[str] = []
        self.store = Store()
        self.store.put(keys.REGISTRY_ID, json.dumps({"registry_id": REGISTRY}).encode())
        self.reader = RegistryReader(self.store, book=SchemaBook(own=()))
        self.rows, self.heartbeats = Rows(), Heartbeats()
        self.rows.owned = frozenset({partition_of(MODEL)})
        self.buried: list[str] = []
        self.changes: list[str] = []
        self.refused: list[str] = []
        anything: Any = SimpleNamespace(open=lambda *_: None, heartbeat=lambda *_: None)
        sender = SimpleNamespace(dead_letter=lambda raw, *, reason, **_: self.buried.append(reason))
        ports = ports_of(sender=sender, epoch_of=self.epoch_of)
        outlets = Outlets(lambda _, reason, __: self.refused.append(reason), lambda *_: None, self.changes.append)
        self.watch = LogWatch(self.reader, self.rows, outlets, announce_seconds=3600.0, ports=ports)
        self.intake = Intake(
            self.reader,
            self.rows,
            self.heartbeats,
            self.watch,
            ports,
            anything,
            self.changes.append,
            ("ap", "eu", "us"),
            lambda _: None,
        )
        self.table: dict[bytes, bytes] = {}

    def epoch_of(self, region: str, model: str) -> int:
        self.looks.append(region)
        if region not in self.epochs:
            return unreadable(region, model)
        return self.epochs[region]

    def order(self, region: str = "eu") -> tuple[int, int] | None:
        rows = self.rows.row(MODEL).regions.get(region)
        return rows.complete.order[:2] if rows is not None and rows.complete is not None else None

    async def report(self, **snapshot: Any) -> None:
        region = snapshot.pop("region", "eu")
        for ack in pages(region, [pod("a", 1, 1)], **snapshot):
            await self.ack(encode(ack))

    def knows(self, kind: type[Any]) -> None:
        fingerprint, text = writer_schema(kind)
        self.store.put(keys.schema(fingerprint), text.encode())

    def beat(self, raw: bytes) -> None:
        self.intake.heartbeat(raw, b"eu/w", 0, NOW_US, NOW_US)

    async def ack(self, raw: bytes) -> None:
        message: Any = SimpleNamespace(
            key=None, value=raw, partition=partition_of(MODEL), offset=0, headers=None, topic="model-acks"
        )
        await self.intake.ack(message, self.table)

    async def until(self, condition: Callable[[], object]) -> None:
        await until_async(condition)

    def close(self) -> None:
        self.intake.close()
        self.reader.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def unknown(number: int) -> bytes:
    return b"\xc3\x01" + number.to_bytes(8, "big") + b"whatever"


BEAT = encode(RegionHeartbeat(REGISTRY, "eu", "w", 1, 1, 1))


async def test_a_heartbeat_in_another_writers_schema_is_heard_once_the_schema_was_fetched(bench: Bench) -> None:
    bench.knows(RegionHeartbeat)
    bench.beat(BEAT)
    await bench.until(lambda: bench.heartbeats.heard_us.get("eu") == NOW_US)
    bench.beat(BEAT)
    assert len(bench.store.asked) == 1
    assert bench.buried == []


async def test_a_heartbeat_in_a_schema_that_nobody_holds_is_buried(bench: Bench) -> None:
    bench.beat(BEAT)
    await bench.until(lambda: bench.buried == ["unknown-schema"])
    assert bench.heartbeats.heard_us == {}


async def test_a_flood_of_made_up_schemas_costs_the_store_little_and_a_healthy_heartbeat_nothing(bench: Bench) -> None:
    bench.knows(RegionHeartbeat)
    bench.beat(BEAT)
    for number in range(500):
        bench.beat(unknown(number))
    await bench.until(lambda: bench.buried == ["unknown-schema"] * 500 and bench.heartbeats.heard_us)
    assert LOOKUPS_AT_ONCE <= len(bench.store.asked) < 250


async def test_snapshots_in_made_up_schemas_cost_the_store_little(bench: Bench) -> None:
    for number in range(500):
        await bench.ack(unknown(number))
    assert bench.buried == ["unknown-schema"] * 500
    assert LOOKUPS_AT_ONCE <= len(bench.store.asked) < 250


async def test_a_snapshot_in_another_writers_schema_is_folded(bench: Bench) -> None:
    bench.knows(ModelAck)
    (ack,) = pages("eu", [pod("a", 1, 1)])
    await bench.ack(encode(ack))
    await bench.until(lambda: bench.rows.row(MODEL).regions["eu"].complete)
    assert bench.buried == []


async def test_a_log_with_rubbish_in_it_is_read_up_to_there_with_an_alarm_until_it_is_mended(bench: Bench) -> None:
    bench.knows(ModelUpdate)
    entries = [update(generation, generation) for generation in (1, 2, 3)]
    for entry in entries:
        bench.store.put(keys.log_entry(MODEL, entry.generation), stated(log_of(*entries), entry).body)
    bench.store.put(keys.log_entry(MODEL, 2), b"rubbish")
    running = asyncio.create_task(bench.watch.run())
    try:
        found = bench.rows.row(MODEL)
        await bench.until(lambda: found.alarm)
        assert found.log == log_of(entries[0])
        bench.store.put(keys.log_entry(MODEL, 2), stated(log_of(*entries), entries[1]).body)
        bench.watch.wake(MODEL)
        await bench.until(lambda: found.log == log_of(*entries))
        assert found.alarm == ""
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


# --- epochs and regions that anybody can make up ----------------------------------------------------------

FORGED = 2**62


async def test_a_made_up_epoch_hides_no_true_report_before_or_after_it(bench: Bench) -> None:
    bench.knows(ModelAck)
    bench.epochs["eu"] = 3
    await bench.report(epoch=3, sequence=7)
    await bench.until(lambda: bench.order() == (3, 7))
    await bench.report(epoch=FORGED, sequence=1)
    await bench.until(lambda: bench.buried == ["refused-epoch"])
    assert bench.order() == (3, 7)
    await bench.report(epoch=3, sequence=8)
    assert bench.order() == (3, 8)


async def test_an_epoch_that_rose_is_believed_once_the_regions_state_bears_it_out(bench: Bench) -> None:
    bench.knows(ModelAck)
    bench.epochs["eu"] = 1
    await bench.report(epoch=1, sequence=1)
    await bench.until(lambda: bench.order() == (1, 1))
    looks = len(bench.looks)
    await bench.report(epoch=1, sequence=2)
    assert len(bench.looks) == looks  # only what rises is looked at
    bench.epochs["eu"] = 2
    await bench.report(epoch=2, sequence=1)
    await bench.until(lambda: bench.order() == (2, 1))
    await bench.report(epoch=2, sequence=2)
    assert len(bench.table) == 1  # and what was taken in between is in the table, too


async def test_one_epoch_too_many_is_as_wrong_as_a_huge_one(bench: Bench) -> None:
    bench.knows(ModelAck)
    bench.epochs["eu"] = 3
    await bench.report(epoch=4, sequence=1)
    await bench.until(lambda: bench.buried == ["refused-epoch"])
    assert bench.order() is None


async def test_what_was_believed_wrongly_gives_way_to_the_true_report(bench: Bench) -> None:
    bench.knows(ModelAck)
    (forged,) = pages("eu", [pod("a", 9, 9)], epoch=FORGED)
    bench.rows.row(MODEL).take(forged, encode(forged))  # as a table gives it back
    bench.intake.assigned()
    bench.epochs["eu"] = 3
    await bench.report(epoch=3, sequence=7)
    await bench.until(lambda: bench.order() is None)
    await bench.report(epoch=3, sequence=8)
    assert bench.order() == (3, 8)


async def test_where_no_state_can_be_read_a_huge_epoch_is_refused_and_a_next_one_believed(bench: Bench) -> None:
    bench.knows(ModelAck)
    await bench.report(epoch=1, sequence=1)
    await bench.until(lambda: bench.order() == (1, 1))
    await bench.report(epoch=FORGED, sequence=1)
    await bench.until(lambda: bench.buried == ["refused-epoch"])
    await bench.report(epoch=2, sequence=1)
    await bench.until(lambda: bench.order() == (2, 1))


async def test_made_up_regions_are_counted_and_one_dead_letter_tells_of_them(bench: Bench) -> None:
    bench.knows(ModelAck)
    for number in range(2_000):
        await bench.report(region=f"made-up-{number}")
    assert bench.buried == ["unknown-region"]
    assert bench.rows.row(MODEL).regions == {}
    assert bench.changes == []
    bench.knows(RegionHeartbeat)
    bench.beat(encode(RegionHeartbeat(REGISTRY, "made-up", "w", 1, 1, 1)))
    bench.beat(BEAT)
    await bench.until(lambda: bench.heartbeats.heard_us)
    assert set(bench.heartbeats.heard_us) == {"eu"}


async def test_a_flood_of_made_up_epochs_asks_little_and_leaves_the_lowest_waiting(bench: Bench) -> None:
    bench.knows(ModelAck)
    bench.epochs["eu"] = 5
    for number in range(500):
        await bench.report(epoch=FORGED + number)
        if number == 250:
            await bench.report(epoch=5, sequence=9)
    await bench.until(lambda: bench.order() == (5, 9))
    assert bench.buried == ["refused-epoch"]
    assert len(bench.looks) < 500


async def test_a_log_that_lost_an_entry_is_an_alarm_although_nobody_claims_another(bench: Bench) -> None:
    bench.knows(ModelUpdate)
    bench.knows(ModelAck)
    entries = [update(generation, generation) for generation in (1, 2, 3)]
    bodies = {entry.generation: stated(log_of(*entries), entry).body for entry in entries}
    for generation, body in bodies.items():
        bench.store.put(keys.log_entry(MODEL, generation), body)
    await bench.watch.list_registry()
    running = asyncio.create_task(bench.watch.run())
    try:
        found = bench.rows.row(MODEL)
        await bench.until(lambda: found.log == log_of(*entries))
        (ack,) = pages("eu", [pod("a", 3, 3)])
        await bench.ack(encode(replace(ack, generation=3, log_digest=log_of(*entries).digest_at(3))))
        bench.store.delete(keys.log_entry(MODEL, 3))
        await bench.watch.list_registry()
        assert "lost a log entry" in found.alarm
        await bench.until(lambda: found.log == log_of(*entries[:2]))  # read anew, from entry 1
        assert list(found.beyond.values()) == ["eu has accepted generation 3, but the log ends at 2"]
        bench.store.put(keys.log_entry(MODEL, 3), bodies[3])
        bench.watch.wake(MODEL)
        await bench.until(lambda: found.log == log_of(*entries) and not found.alarm)
        assert found.beyond == {}
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_damaged_newest_entry_is_an_alarm_until_it_is_mended(bench: Bench) -> None:
    bench.knows(ModelUpdate)
    body = stated(log_of(update(1, 1)), update(1, 1)).body
    bench.store.put(keys.log_entry(MODEL, 1), body)
    running = asyncio.create_task(bench.watch.run())
    try:
        found = bench.rows.row(MODEL)
        await bench.until(lambda: found.log is not None)
        bench.store.put(keys.log_entry(MODEL, 1), body[:-1] + bytes([body[-1] ^ 1]))
        await bench.watch.list_registry()
        assert "damaged" in found.alarm
        bench.store.put(keys.log_entry(MODEL, 1), body)
        await bench.watch.list_registry()
        await bench.until(lambda: not found.alarm)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
