"""The last entries, as they are shown: what does not follow the entries below it is told as such."""

from dataclasses import replace

import pytest

from modelcast.dashboard.view.entries import Announced, EntryLine, chained, unreadable_line
from modelcast.schemas.log.chain import StatedEntry
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.log.statements import state
from modelcast.schemas.records import CommandKind, CommandTarget, ModelCommand
from tests.support.records.folding import stated

SECOND = 1_000_000
NOW_US = 1_000 * SECOND


def command(generation: int, reason: str = "") -> ModelCommand:
    return ModelCommand(
        "r",
        f"e{generation}{reason}",
        "fraud",
        generation,
        CommandKind.RELOAD,
        (CommandTarget("", None),),
        1,
        "ann",
        reason,
    )


def log_of(count: int) -> list[StatedEntry]:
    log, found = ModelLog("fraud", "r"), []
    for generation in range(1, count + 1):
        found.append(stated(log, command(generation)))
        log = log.extend(found[-1])
    return found


def troubled(lines: list[EntryLine]) -> list[int]:
    return [line.generation for line in lines if line.trouble]


def test_a_sound_log_is_shown_without_a_word() -> None:
    assert troubled(chained([(each, 1) for each in log_of(4)])) == []
    assert troubled(chained([(each, 1) for each in log_of(4)][2:])) == []  # what lies below is not shown


@pytest.mark.parametrize("generation", [1, 2, 3])
def test_an_entry_that_was_changed_at_rest_breaks_the_chain_above_it(generation: int) -> None:
    found = log_of(4)
    entry = replace(found[generation - 1].entry, reason="another")
    found[generation - 1] = state(entry, found[generation - 1].log_digest)
    lines = chained([(each, 1) for each in found])
    assert troubled(lines) == [generation + 1]
    assert f"but generation {generation} has" in lines[generation].trouble
    assert "was changed after it was written" in lines[generation].trouble


def test_the_first_entry_follows_the_beginning_of_its_own_log() -> None:
    first = log_of(1)[0]
    moved = state(replace(first.entry, registry_id="another"), first.log_digest)
    assert troubled(chained([(moved, 1)])) == [1]


def test_what_can_not_be_read_is_shown_in_its_place_and_proves_nothing() -> None:
    one, _, three = log_of(3)
    lines = chained([(one, 1), unreadable_line("fraud", 2, "it is gone"), (three, 1)])
    assert [(line.kind, line.trouble) for line in lines] == [
        ("RELOAD", ""),
        ("UNREADABLE", "it is gone"),
        ("RELOAD", ""),
    ]


def taken(announced: Announced, *entries: StatedEntry) -> list[EntryLine]:
    for each in entries:
        announced.take(each, NOW_US)
    return list(announced.lines)


def test_an_announcement_is_compared_with_its_neighbours_in_whichever_order_they_come() -> None:
    one, two, three = log_of(3)
    assert troubled(taken(Announced(100), one, two, three, two)) == []
    assert troubled(taken(Announced(100), three, one, two)) == []
    forged = state(command(2, "forged"), three.log_digest)
    assert troubled(taken(Announced(100), one, forged)) == [2]
    assert troubled(taken(Announced(100), three, forged)) == [2]


def test_of_two_entries_that_claim_one_generation_the_second_is_doubted_though_it_follows() -> None:
    one, two = log_of(2)
    forged = state(command(2, "forged"), two.log_digest)
    lines = taken(Announced(100), one, two, forged)
    assert [line.trouble for line in lines] == ["", "", "another entry was announced as generation 2"]
    assert len({line.id for line in lines}) == 3


def test_what_the_tracker_has_not_read_in_the_log_after_ten_seconds_is_not_in_it() -> None:
    announced = Announced(100)
    forged = state(command(900, "forged"), log_of(1)[0].log_digest)
    taken(announced, forged)
    assert announced.compare({"fraud": 3}, NOW_US + 9 * SECOND) == []
    (line,) = announced.compare({"fraud": 3}, NOW_US + 11 * SECOND)
    assert line.trouble == "it is not in the log, which ends at generation 3"
    assert announced.compare({"fraud": 3}, NOW_US + 12 * SECOND) == []
    (line,) = announced.compare({"fraud": 900}, NOW_US + 13 * SECOND)
    assert line.trouble == ""
    (line,) = announced.compare({}, NOW_US + 13 * SECOND)
    assert line.trouble == "it is not in the log, as the tracker knows no such model"


def test_only_so_many_are_kept() -> None:
    announced = Announced(3)
    taken(announced, *log_of(10))
    assert [line.generation for line in announced.lines] == [8, 9, 10]
    assert len(announced._stated) == 3
