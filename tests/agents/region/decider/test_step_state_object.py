"""Calls on the state object: one at a time, as few as possible, and no order to a pod without a proof."""

from modelcast.agents.region.decider.events_and_effects import (
    CheckOwner,
    Effect,
    Fetched,
    Holding,
    Load,
    OwnershipDoubted,
    PodRead,
    PodsKnown,
    Save,
    Saved,
    SaveFailed,
    Tick,
)
from modelcast.agents.region.decider.policy import Policy
from tests.agents.region.words import EAGER, Log, Region, digest, reading, serving

LASTS = Policy().proof_seconds


def calls(region: Region) -> list[Effect]:
    return [e for e in region.effects if isinstance(e, Save | CheckOwner)]


def lacking_a_pod() -> Region:
    """Version 1 is at hand and saved; pod ``b`` comes later, and is blank."""
    region = Region("a", policy=Policy(save_with_fetch_seconds=0.0))
    region.all_read(None)
    region.settle(Log().publish(1))
    region.on(PodsKnown(("a", "b")))
    return region.after(LASTS + 1)


def test_an_order_waits_until_ownership_was_proved_anew() -> None:
    region = lacking_a_pod()
    region.on(PodRead(reading("b", None)))
    assert (region.loads, calls(region)) == ([], [CheckOwner(1)])
    region.after(0.1).on(Saved(region.replica.facts.saved))
    assert (region.loads, calls(region)) == ([("b", 1)], [])


def test_a_proof_counts_from_when_it_was_asked_for() -> None:
    region = lacking_a_pod()
    region.on(PodRead(reading("b", None)))
    asked_at = region.now
    region.after(2.0).on(Saved(region.replica.facts.saved))
    assert region.replica.facts.proved_at == asked_at


def test_an_answer_slower_than_a_proof_lasts_counts_for_a_moment() -> None:
    region = lacking_a_pod()
    region.on(PodRead(reading("b", None)))
    region.after(LASTS * 3).on(Saved(region.replica.facts.saved))
    assert region.reads == ["b"]  # it was read so long ago that it is read first
    region.after(0.1).on(PodRead(reading("b", None)))
    assert region.loads == [("b", 1)]


def test_a_write_under_way_is_awaited_as_the_proof() -> None:
    region = lacking_a_pod()
    region.on(OwnershipDoubted())
    assert calls(region) == [CheckOwner(1)]
    region.on(PodRead(reading("b", None)))
    assert (region.loads, calls(region)) == ([], [])


def test_while_ownership_cannot_be_proved_nothing_is_ordered_and_it_is_asked_again_with_pauses() -> None:
    region = lacking_a_pod()
    region.on(PodRead(reading("b", None)))
    region.on(SaveFailed("away"))
    assert (region.loads, calls(region)) == ([], [])
    assert region.replica.attempts.error == ""  # to ask is no attempt at what is aspired
    region.now = region.replica.wakes_at(region.now)
    region.on(Tick())
    assert (region.loads, calls(region)) == ([], [CheckOwner(1)])
    region.on(Saved(region.replica.facts.saved))
    assert region.loads == [("b", 1)]


def test_a_question_waits_for_the_write_that_is_under_way_and_a_write_for_the_question() -> None:
    region = Region("a", policy=EAGER)
    region.all_read(None)
    log = Log().publish(1)
    region.on(log.folded)
    writes = calls(region)
    assert [type(e) for e in writes] == [Save]
    region.on(OwnershipDoubted())
    assert calls(region) == []
    region.on(Saved(writes[0].memory))  # type: ignore[union-attr]
    assert calls(region) == [CheckOwner(0)]
    region.on(Fetched(digest(1)))
    assert calls(region) == []
    region.on(Saved(region.replica.facts.saved))
    assert [type(e) for e in calls(region)] == [Save]


def test_an_accepted_generation_is_written_with_the_fetch_that_it_began_if_that_is_short() -> None:
    region = Region("a", policy=Policy())
    region.all_read(None)
    region.on(Log().publish(1).folded)
    assert (region.fetches, calls(region)) == ([1], [])
    region.after(0.1).on(Fetched(digest(1)))
    [write] = calls(region)
    assert isinstance(write, Save)
    assert write.memory.staged is not None
    assert (write.memory.accepted_generation, write.memory.staged.version) == (1, 1)


def test_an_accepted_generation_does_not_wait_for_a_long_fetch() -> None:
    region = Region("a", policy=Policy())
    region.all_read(None)
    region.on(Log().publish(1).folded)
    assert region.replica.wakes_at(region.now) == region.now + Policy().save_with_fetch_seconds
    region.now = region.replica.wakes_at(region.now)
    region.on(Tick())
    [write] = calls(region)
    assert isinstance(write, Save)
    assert (write.memory.accepted_generation, write.memory.staged) == (1, None)


def test_while_it_is_held_no_fetch_and_no_load_begins_and_then_both_do() -> None:
    log = Log().publish(1)
    region = serving("a", log=log)
    region.on(Holding(on=True))
    region.on(log.publish(2).folded)
    region.save_all()
    assert region.fetches == []
    region.on(Holding(on=False))
    assert region.fetches == [2]
    region.on(Holding(on=True))
    region.fetched(2)
    assert region.loads == []
    region.on(Holding(on=False))
    assert [e.order.version for e in region.effects if isinstance(e, Load)] == [2]
