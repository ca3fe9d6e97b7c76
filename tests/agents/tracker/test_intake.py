"""What the tracker takes in: other writers' schemas are learnt, made-up ones cost little; nothing raises."""

import asyncio
from dataclasses import replace

import pytest

from modelcast.agents.tracker import judging
from modelcast.agents.tracker.decider import rows
from modelcast.infra.registry.schema_lookup import LOOKUPS_AT_ONCE
from modelcast.schemas import keys
from modelcast.schemas.codec import encode
from modelcast.schemas.probes import PROBE_KEYS, Probe
from modelcast.schemas.records import ModelAck, ModelUpdate, RegionHeartbeat
from tests.agents.tracker.bench import NOW_US, Bench
from tests.agents.tracker.makers import MODEL, REGISTRY, log_of, pages, pod, update
from tests.support.records.folding import stated


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


async def test_a_forged_announcement_of_another_registry_is_no_alarm_for_ever(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.knows(ModelUpdate)
    bench.store.put(keys.log_entry(MODEL, 1), stated(log_of(update(1, 1)), update(1, 1)).body)
    forged = update(1, 1, registry_id="forged")
    await bench.announce(stated(log_of(forged, registry_id="forged"), forged).body)
    await bench.watch.list_registry()
    assert list(bench.rows.row(MODEL).strangers) == ["model-updates"]
    monkeypatch.setattr(rows, "STRANGER_SECONDS", 0.0)
    bench.changes.clear()
    await bench.watch.list_registry()
    assert bench.rows.row(MODEL).strangers == {}
    assert bench.changes == [MODEL]


@pytest.mark.parametrize("left", [None, b"{}"], ids=["deleted", "damaged"])
async def test_reports_wait_while_the_registrys_id_can_not_be_read(
    bench: Bench, left: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "RETRY_SECONDS", 0.01)
    bench.knows(ModelAck)
    bench.epochs.update(eu=3)
    bench.store.put(keys.log_entry(MODEL, 1), stated(log_of(update(1, 1)), update(1, 1)).body)
    found = bench.store.get(keys.REGISTRY_ID, size_max=1000)
    assert found is not None
    bench.store.delete(keys.REGISTRY_ID)
    if left is not None:
        bench.store.put(keys.REGISTRY_ID, left)
    reporting = asyncio.create_task(bench.report(epoch=3, sequence=7))
    await bench.until(lambda: bench.store.requests.count(keys.REGISTRY_ID) >= 5)
    assert not reporting.done()
    bench.store.put(keys.REGISTRY_ID, found.body)
    await reporting
    await bench.until(lambda: bench.order() == (3, 7))
    assert bench.buried == []


async def test_a_probe_on_the_way_out_is_counted_and_one_that_cannot_be_used_is_buried(bench: Bench) -> None:
    bench.knows(Probe)
    for raw in (encode(Probe(REGISTRY, "p", "w", 1)), encode(Probe("another", "p", "w", 1)), b"rubbish"):
        await bench.announce(raw, PROBE_KEYS[3])
    assert bench.buried == ["foreign-registry", "framing"]
    assert set(bench.rows.models) == {MODEL}
    assert bench.refused == []
