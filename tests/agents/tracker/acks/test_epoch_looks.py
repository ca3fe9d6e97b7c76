"""Epochs and regions that anybody can make up: what they hide, and what they cost."""

from dataclasses import replace

import pytest

from modelcast.agents.tracker.acks import epoch_proofs
from modelcast.infra.telemetry.metrics import LOOKS_PUT_OFF
from modelcast.schemas.codec import encode
from modelcast.schemas.records import ModelAck, RegionHeartbeat
from tests.agents.tracker.bench import FORGED, NOW_US, Bench
from tests.agents.tracker.makers import MODEL, REGISTRY, SECOND, pages, pod

BEAT = encode(RegionHeartbeat(REGISTRY, "eu", "w", 1, 1, 1))


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
    bench.rows.row(MODEL).take(forged, encode(forged), NOW_US)  # as a table gives it back
    bench.intake.assigned()
    bench.epochs["eu"] = 3
    await bench.report(epoch=3, sequence=7)
    await bench.until(lambda: bench.order() is None)
    await bench.report(epoch=3, sequence=8)
    assert bench.order() == (3, 8)


@pytest.mark.parametrize("at_us", [9 * SECOND, 4_000_000_000 * SECOND])
async def test_a_made_up_number_gives_way_to_the_next_true_report(bench: Bench, at_us: int) -> None:
    bench.knows(ModelAck)
    bench.epochs["eu"] = 3
    await bench.report(epoch=3, sequence=7)
    await bench.until(lambda: bench.order() == (3, 7))
    (forged,) = pages("eu", [pod("a", 9, 9)], epoch=3, sequence=FORGED)
    await bench.ack(encode(replace(forged, reported_at_us=at_us)))
    assert bench.order() == (3, FORGED)
    changes = len(bench.changes)
    await bench.report(epoch=3, sequence=10)
    assert bench.order() == (3, 10)
    assert len(bench.changes) > changes
    await bench.report(epoch=3, sequence=9)  # a late one
    assert bench.order() == (3, 10)
    assert len(bench.table) == 1


async def test_a_made_up_number_that_a_table_gives_back_gives_way_to_the_next_true_report(bench: Bench) -> None:
    bench.knows(ModelAck)
    (forged,) = pages("eu", [pod("a", 9, 9)], epoch=3, sequence=FORGED)
    forged = replace(forged, reported_at_us=9 * SECOND)
    bench.rows.restore(MODEL, "eu", [((0, 0), forged, encode(forged))])
    bench.intake.assigned()
    assert bench.order() == (3, FORGED)
    await bench.report(epoch=3, sequence=10)
    assert bench.order() == (3, 10)


async def test_a_large_region_is_told_as_unknown_rather_than_as_somebody_made_it_up(bench: Bench) -> None:
    bench.knows(ModelAck)
    bench.epochs["eu"] = 3
    (forged,) = pages("eu", [pod("a", 9, 9)], epoch=3, sequence=FORGED)
    await bench.ack(encode(replace(forged, reported_at_us=9 * SECOND)))
    await bench.until(lambda: bench.order() == (3, FORGED))
    bench.changes.clear()
    first, second = pages("eu", [pod("a", 1, 1), pod("b", 1, 1)], epoch=3, sequence=10, page_count=2)
    await bench.ack(encode(first))
    assert (bench.order(), bench.changes) == (None, [MODEL])
    await bench.ack(encode(second))
    assert bench.order() == (3, 10)


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


async def test_a_report_is_not_decided_while_its_epoch_is_looked_at_and_the_view_is_as_old_as_it(bench: Bench) -> None:
    bench.knows(ModelAck)
    bench.epochs.update(eu=3)
    bench.may_look.clear()
    bench.at_us = NOW_US + SECOND
    await bench.report(epoch=3, sequence=7)
    bench.at_us = NOW_US + 9 * SECOND
    await bench.report(epoch=3, sequence=8)
    assert bench.reading.unread_since_us(MODEL) == NOW_US + SECOND
    bench.may_look.set()
    await bench.until(lambda: bench.order() == (3, 8))
    assert bench.reading.unread_since_us(MODEL) == 0


async def test_a_true_epoch_that_came_while_an_older_state_was_read_is_looked_at_again(bench: Bench) -> None:
    bench.knows(ModelAck)
    bench.epochs["eu"] = 3
    bench.may_look.clear()
    await bench.report(epoch=3, sequence=7)
    await bench.until(lambda: bench.looks == ["eu"])
    await bench.report(epoch=4, sequence=1)  # claimed, and reported, after the state was read
    bench.epochs["eu"] = 4
    bench.may_look.set()
    await bench.until(lambda: bench.order() == (4, 1))
    assert bench.buried == []


async def test_looks_at_a_region_are_bounded_and_what_was_put_off_is_looked_at_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(epoch_proofs, "LOOKS_WAITING_MAX", 5)
    bench.knows(ModelAck)
    bench.epochs.update(eu=3, us=3)
    bench.may_look.clear()
    put_off = LOOKS_PUT_OFF.labels("eu")._value.get()
    names = [f"model-{number}" for number in range(20)]
    for name in names:
        bench.rows.row(name)
        await bench.report(model=name, epoch=3)
    assert LOOKS_PUT_OFF.labels("eu")._value.get() - put_off >= 20 - epoch_proofs.LOOKS_AT_ONCE - 5
    await bench.report(region="us", epoch=3)  # its queue is its own
    bench.may_look.set()
    await bench.until(lambda: all(bench.order(model=name) for name in names) and bench.order("us"))
