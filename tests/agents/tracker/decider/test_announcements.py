"""What an announcement is worth against the log, and what still has to be announced."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from modelcast.agents.tracker.decider.announcements import ANNOUNCED_AT_ONCE_MAX, objection, unannounced
from modelcast.schemas.records import CommandKind, Entry
from tests.agents.tracker.makers import command, log_of, update
from tests.support.records.folding import stated

ENTRIES: tuple[Entry, ...] = (update(1, 1), update(2, 2), command(3, CommandKind.ROLLBACK, 1))
LOG = log_of(*ENTRIES)


def test_what_the_log_holds_is_accepted() -> None:
    for entry in ENTRIES:
        assert objection(LOG, stated(LOG, entry)) == ""


def test_another_event_at_a_known_generation_differs() -> None:
    for entry in ENTRIES:
        assert objection(LOG, stated(LOG, replace(entry, event_id="another"))) == "differs-from-log"


def test_other_content_under_a_known_event_differs() -> None:
    assert objection(LOG, stated(LOG, replace(update(1, 1), publisher="somebody"))) == "differs-from-log"
    assert objection(LOG, stated(LOG, replace(ENTRIES[2], reason="another"))) == "differs-from-log"


def test_what_nobody_claimed_is_not_in_the_log() -> None:
    assert objection(LOG, stated(LOG, update(4, 4))) == "not-in-log"


def test_another_registry_is_foreign_whatever_else_it_says() -> None:
    assert objection(LOG, stated(LOG, replace(update(9, 9), registry_id="another"))) == "foreign-registry"


def test_nothing_is_announced_twice_nor_from_an_empty_log() -> None:
    assert unannounced(0, None) == ()
    assert unannounced(3, 3) == ()


def test_with_nothing_known_the_head_wakes_everybody() -> None:
    assert unannounced(7, None) == (7,)


@given(st.integers(0, 100), st.integers(1, 100))
def test_everything_above_the_last_announced_follows_newest_last(announced: int, more: int) -> None:
    head = announced + more
    found = unannounced(head, announced)
    assert found[-1] == head
    assert list(found) == list(range(found[0], head + 1))
    assert len(found) == min(more, ANNOUNCED_AT_ONCE_MAX)
