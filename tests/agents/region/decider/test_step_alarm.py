"""The decider of one model in one region whose log is not what it was: it obeys none, and goes on serving."""

from dataclasses import replace

import pytest

from modelcast.agents.region.decider.events_and_effects import (
    Contradicted,
    Fetch,
    Folded,
    Load,
    PodRead,
    PodsKnown,
    Refold,
    Save,
)
from modelcast.agents.region.decider.snapshots import snapshot
from modelcast.schemas.records import CommandKind, CommandTarget, LogPosition, ModelCommand
from modelcast.schemas.region_memory import Contradiction, Memory
from tests.agents.region.words import MODEL, REGISTRY, Log, Region, memory_of, reading, serving

PINNED = Log().publish(1).publish(2).say(CommandKind.PIN, 1)
"""What the region had accepted: version 1 is pinned by generation 3."""
REWRITTEN = Log().publish(1).publish(2).publish(3).publish(4)
"""Entry 3 was lost with an older copy, and others published on."""


def position(log: Log, generation: int) -> LogPosition:
    return LogPosition(generation, log.fold.digest_at(generation))


def accepting(log: Log, *given_up: LogPosition) -> Log:
    """The log after a person has accepted it."""
    longer = Log()
    longer.entries = list(log.entries)
    top = max(p.generation for p in given_up)
    while len(longer.entries) <= max(top, len(log.entries)):
        generation = len(longer.entries) + 1
        longer.entries.append(
            ModelCommand(
                REGISTRY,
                f"event-{generation}",
                MODEL,
                generation,
                CommandKind.ACCEPT,
                (CommandTarget(),),
                1,
                "ann",
                "restored",
                replaces=given_up,
            )
        )
    return longer


def obeying() -> Region:
    region = serving("a", log=PINNED)
    assert region.replica.accepted == position(PINNED, 3)
    return region


def test_a_rewritten_log_is_not_obeyed_and_the_alarm_says_what_differs() -> None:
    region = obeying()
    region.on(REWRITTEN.refolded)
    alarm = region.replica.facts.alarm
    assert "the log was rewritten" in alarm
    assert PINNED.fold.digest_at(3)[7:19] in alarm
    assert REWRITTEN.fold.digest_at(3)[7:19] in alarm
    assert "modelcast registry accept fraud" in alarm
    assert region.fetches == region.loads == []
    assert (region.replica.generation, region.replica.target and region.replica.target.version) == (3, 1)


def test_a_log_that_ends_below_what_was_accepted_is_an_alarm() -> None:
    region = Region("a", memory=memory_of(2, 2).claimed_by("new"))
    region.on(Log().publish(1).refolded)
    assert "ends at generation 1" in region.replica.facts.alarm


def test_a_log_that_was_read_before_the_claim_is_read_again_before_there_is_an_alarm() -> None:
    region = Region("a", memory=memory_of(2, 2).claimed_by("new"), owned_at=50.0)
    effects = region.on(Folded(Log().publish(1).fold, asked_at=49.0))  # another owner accepted generation 2 later
    assert Refold() in effects
    assert region.replica.facts.alarm == ""
    assert region.replica.generation == 0
    region.on(Folded(Log().publish(1).fold, asked_at=50.0))
    assert "ends at generation 1" in region.replica.facts.alarm


def test_a_whole_log_that_was_read_before_the_claim_ends_no_alarm() -> None:
    log = Log().publish(1)
    memory = replace(memory_of(1, 1), contradiction=Contradiction(1, log.fold.digest_at(1), "gone"))
    region = Region("a", memory=memory.claimed_by("new"), owned_at=50.0)
    region.on(Folded(log.fold, whole=True, asked_at=49.0))  # the alarm may be about what came later
    assert region.replica.facts.alarm == "gone"
    region.on(Folded(log.fold, whole=True, asked_at=50.0))
    assert region.replica.facts.alarm == ""


def test_the_alarm_stays_while_reads_go_on_from_what_was_read_before() -> None:
    region = obeying()
    region.on(Contradicted("entry 3 is gone"))
    region.on(PINNED.folded)
    assert region.replica.facts.alarm == "entry 3 is gone"
    region.on(Folded(REWRITTEN.fold, whole=True))
    assert region.replica.facts.alarm
    region.on(PINNED.refolded)
    assert region.replica.facts.alarm == ""


def test_what_was_read_last_counts_also_where_it_did_not_concern_the_region() -> None:
    log = Log().publish(1).say(CommandKind.PIN, 1, "us")
    region = serving("a", log=log)
    assert region.replica.accepted.generation == 1
    region.on(Contradicted("entry 2 is gone"))
    region.on(Log().publish(1).publish(2).refolded)
    assert "generation 2" in region.replica.facts.alarm


def test_a_restart_changes_nothing() -> None:
    region = obeying()
    region.on(Contradicted("entry 3 is gone"))
    (save,) = region.all_of(Save)
    kept = Memory.decode(save.memory.encode())
    assert kept.contradiction == Contradiction(3, PINNED.fold.digest_at(3), "entry 3 is gone")
    again = Region("a", memory=kept.claimed_by("new"))
    assert again.replica.facts.alarm == "entry 3 is gone"
    again.on(Log().publish(1).publish(2).refolded)
    again.on(REWRITTEN.refolded)
    assert again.replica.facts.alarm
    assert again.fetches == again.loads == []
    again.on(PINNED.refolded)
    assert again.replica.facts.alarm == ""


def test_the_furthest_position_that_was_ever_read_is_kept_through_restarts() -> None:
    region = obeying()
    region.on(Contradicted("gone"))
    memory = region.all_of(Save)[0].memory
    again = Region("a", memory=replace(memory, accepted_generation=1, accepted_digest=PINNED.fold.digest_at(1)))
    again.on(Log().publish(1).refolded)
    assert "generation 3" in again.replica.facts.alarm
    assert again.replica.wished_memory().contradiction.generation == 3  # type: ignore[union-attr]


def test_a_person_may_accept_the_log_and_the_region_goes_on_from_there_upwards() -> None:
    region = obeying()
    region.on(REWRITTEN.refolded)
    region.save_all()
    accepted = accepting(REWRITTEN, position(PINNED, 3))
    region.on(accepted.refolded)
    region.save_all()
    assert region.replica.facts.alarm == ""
    assert region.replica.generation == 5 > 3
    assert region.replica.target and region.replica.target.version == 4
    assert region.replica.facts.saved.contradiction is None
    assert region.replica.facts.saved.accepted_digest == accepted.fold.digest_at(5)


@pytest.mark.parametrize("given_up", [LogPosition(3, "sha256:" + "7" * 64), position(REWRITTEN, 2)])
def test_who_had_accepted_something_else_than_a_person_gave_up_stays_alarmed(given_up: LogPosition) -> None:
    region = obeying()
    region.on(accepting(REWRITTEN, given_up).refolded)
    assert region.replica.facts.alarm


def test_an_acceptance_does_not_cover_what_is_lost_after_it() -> None:
    region = obeying()
    accepted = accepting(REWRITTEN, position(PINNED, 3))
    region.on(accepted.refolded)
    region.save_all()
    longer = Log()
    longer.entries = [*accepted.entries]
    region.settle(longer.publish(9))
    region.on(accepted.refolded)  # an overtaken read, as far as anybody can tell
    assert region.replica.facts.alarm == ""
    region.on(Contradicted("entry 6 is gone"))
    region.on(accepted.refolded)
    assert region.replica.facts.alarm == "entry 6 is gone"


def test_while_alarmed_pods_are_looked_after_with_what_was_served() -> None:
    region = obeying()
    region.on(REWRITTEN.refolded)
    region.save_all()
    region.after(60).on(PodRead(reading("a")))  # it has restarted and serves nothing
    (load,) = region.all_of(Load)
    assert (load.order.version, load.order.generation) == (1, 3)
    assert not region.all_of(Fetch)


def test_a_restarted_worker_that_is_alarmed_looks_after_pods_too() -> None:
    memory = replace(memory_of(1, 1).claimed_by("new"), contradiction=Contradiction(1, "sha256:" + "1" * 64, "gone"))
    region = Region(memory=memory)
    region.on(PodsKnown(("a",)))
    region.on(PodRead(reading("a")))
    assert region.loads == [("a", 1)]


def test_acknowledgements_carry_what_was_accepted_and_the_alarm() -> None:
    region = obeying()
    (before,) = snapshot(region.replica, worker="w", sequence=1, now_us=1, now=region.now)
    assert (before.generation, before.log_digest, before.alarm) == (3, PINNED.fold.digest_at(3), "")
    region.on(REWRITTEN.refolded)
    (after,) = snapshot(region.replica, worker="w", sequence=2, now_us=1, now=region.now)
    assert (after.generation, after.log_digest) == (3, PINNED.fold.digest_at(3))
    assert after.alarm == region.replica.facts.alarm
