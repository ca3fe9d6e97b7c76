"""Who of a region reads what from the origin: one at a time each artifact, the dead replaced, never too many."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelcast.consumers.fetch.planning.single_flight import EXPIRY_SECONDS, LeaseRow, Table, Watched, beaten, joined

NEVER = Watched()


def test_of_two_who_want_one_artifact_the_second_waits() -> None:
    table = joined(Table(), "a", "one", NEVER, 0.0, 4)
    assert table == Table((LeaseRow("a", "one"),))
    assert joined(table, "a", "two", NEVER.seeing(table, 0.0), 0.0, 4) is None
    assert joined(table, "b", "two", NEVER.seeing(table, 0.0), 0.0, 4) is not None


def test_the_region_as_a_whole_has_a_cap() -> None:
    table = Table((LeaseRow("a", "one"), LeaseRow("b", "two")))
    assert joined(table, "c", "three", NEVER.seeing(table, 0.0), 0.0, 2) is None
    assert joined(table.without(LeaseRow("a", "one")), "c", "three", NEVER, 0.0, 2) is not None


def test_whoever_was_not_heard_of_for_long_enough_is_replaced() -> None:
    table = Table((LeaseRow("a", "dead", 7),))
    watched = NEVER.seeing(table, 100.0)
    assert joined(table, "a", "two", watched.seeing(table, 107.9), 107.9, 1) is None
    late = 100.0 + EXPIRY_SECONDS
    assert joined(table, "a", "two", watched.seeing(table, late), late, 1) == Table((LeaseRow("a", "two"),))


def test_a_beat_shows_life_whatever_the_clocks_say() -> None:
    table = Table((LeaseRow("a", "one", 7),))
    watched = NEVER.seeing(table, 100.0)
    table, gone = beaten(table, "one", {"a"})
    assert not gone
    watched = watched.seeing(table, 107.0)
    assert joined(table, "a", "two", watched.seeing(table, 109.0), 109.0, 1) is None


def test_what_a_crash_left_behind_is_taken_up_at_once_by_who_left_it() -> None:
    table = Table((LeaseRow("a", "one", 7), LeaseRow("b", "two")))
    again = joined(table, "a", "one", NEVER, 0.0, 1)
    assert again == Table((LeaseRow("a", "one", 8), LeaseRow("b", "two")))


def test_who_was_replaced_learns_it_with_the_next_beat() -> None:
    table = Table((LeaseRow("a", "two"), LeaseRow("b", "one", 3)))
    after, gone = beaten(table, "one", {"a", "b"})
    assert gone == {"a"}
    assert after == Table((LeaseRow("a", "two"), LeaseRow("b", "one", 4)))


def test_shares_are_by_flights() -> None:
    table = Table((LeaseRow("a", "one"), LeaseRow("b", "one"), LeaseRow("c", "two")))
    assert table.share("one", {"a", "b"}) == pytest.approx(2 / 3)
    assert table.share("two", {"c"}) == pytest.approx(1 / 3)
    assert table.share("one", {"a"}) == pytest.approx(1 / 3)  # another process of that machine has the other
    assert Table().share("one", set()) == 1.0


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(), st.text(), st.integers(0, 2**60)), max_size=6))
def test_a_table_comes_back_as_it_was(rows: list[tuple[str, str, int]]) -> None:
    table = Table(tuple(LeaseRow(*row) for row in rows))
    assert Table.decode(table.encode()) == table


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"3", b'{"flights": 3}', b'{"flights": [[1]]}', b"\xff", b"[" * 100_000]
)
def test_a_table_that_is_no_table_is_an_empty_one(body: bytes) -> None:
    assert Table.decode(body) == Table()


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("jbl"), st.sampled_from("abc"), st.sampled_from("xyz")), max_size=60))
def test_whatever_happens_no_artifact_flies_twice_and_no_more_than_the_cap(steps: list[tuple[str, str, str]]) -> None:
    """Everybody watches; time goes on by 3 s a step; who does not beat falls silent."""
    table, watched, now = Table(), dict.fromkeys("xyz", NEVER), 0.0
    for kind, artifact, holder in steps:
        now += 3.0
        watched = {who: seen.seeing(table, now) for who, seen in watched.items()}
        if kind == "j":
            table = joined(table, artifact, holder, watched[holder], now, 2) or table
        elif kind == "b":
            table, _ = beaten(table, holder, {artifact})
        else:
            table = table.without(LeaseRow(artifact, holder))
        artifacts = [row.artifact for row in table.rows]
        assert len(artifacts) == len(set(artifacts)) <= 2
        assert Table.decode(json.dumps(json.loads(table.encode())).encode()) == table
        assert table.without(*(replace(row, beat=99) for row in table.rows)) == Table()
