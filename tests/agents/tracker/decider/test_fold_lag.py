"""Since when a region is behind, case by case."""

from dataclasses import replace

import pytest

from modelcast.agents.tracker.decider.fold import fold
from modelcast.schemas.records import CommandKind, Entry, ModelAck, PodReport, RegionState, VersionState
from modelcast.schemas.states import PodState
from tests.agents.tracker.folded import NOW_US, TIMES, known, row, serving, state_of
from tests.agents.tracker.makers import SECOND, command, log_of, pages, pod, update


def lag(entries: list[Entry], acks: list[ModelAck]) -> float:
    return row(state_of(entries, acks, expected=("eu",)), "eu").lag_seconds(NOW_US)


def since(generation: int) -> float:
    return (NOW_US - TIMES[generation]) / SECOND


@pytest.mark.parametrize(
    ("entries", "acks", "oldest"),
    [
        ([update(1, 1), update(2, 2), update(3, 3)], serving("eu", 1, 1), 2),
        ([update(1, 1), update(2, 2), update(3, 3)], serving("eu", 2, 2), 3),
        ([update(1, 1), update(2, 2)], [], 1),
        ([update(1, 1), update(2, 2), command(3, CommandKind.ROLLBACK, 1)], serving("eu", 2, 2), 3),
        ([update(1, 1), update(2, 2), command(3, CommandKind.PIN, 1, ["eu"])], serving("eu", 2, 2), 3),
        (
            [update(1, 1), command(2, CommandKind.PIN, 1), update(3, 2), command(4, CommandKind.UNPIN)],
            serving("eu", 1, 2),
            3,
        ),
        ([update(1, 1), update(2, 2), command(3, CommandKind.QUARANTINE, 2)], serving("eu", 2, 2), 3),
        ([update(1, 1), update(2, 2), command(3, CommandKind.QUARANTINE, 2), update(4, 3)], serving("eu", 1, 1), 4),
        (
            [update(1, 1), update(2, 2), command(3, CommandKind.QUARANTINE, 2), command(4, CommandKind.RELEASE, 2)],
            serving("eu", 1, 3),
            4,
        ),
        ([update(1, 1), update(2, 2), command(3, CommandKind.PAUSE), update(4, 3)], serving("eu", 1, 1), 2),
        (
            [
                *(update(1, 1), update(2, 2), command(3, CommandKind.PAUSE)),
                *(update(4, 3), command(5, CommandKind.QUARANTINE, 2)),
            ],
            serving("eu", 2, 2),
            5,
        ),
        ([update(1, 1), update(2, 2)], pages("eu", [pod("a", 2, 2), pod("b", 1, 1)], generation=2, version=2), 2),
        ([update(1, 1), update(2, 2)], pages("eu", [pod("a", None)], generation=2, version=2), 2),
        ([update(1, 1), update(2, 2)], pages("eu", [pod("a", 2, 2)], pods_expected=2, generation=2, version=2), 2),
    ],
    ids=[
        "two behind: since the first of them",
        "one behind",
        "never reported: everything is owed",
        "rolled back",
        "pinned",
        "unpinned: what was published meanwhile",
        "its version was quarantined",
        "a quarantined version is not owed",
        "released",
        "paused: since before",
        "paused: what came later is not owed",
        "one pod behind",
        "restarted pods owe the aspired version only",
        "a missing pod owes the aspired version only",
    ],
)  # fmt: skip
def test_lag_runs_since_the_store_received_the_oldest_entry_not_served(
    entries: list[Entry], acks: list[ModelAck], oldest: int
) -> None:
    assert lag(entries, acks) == since(oldest)


def test_a_rollback_to_what_is_still_served_owes_nothing() -> None:
    assert lag([update(1, 1), update(2, 2), command(3, CommandKind.ROLLBACK, 1)], serving("eu", 1, 1)) == 0


def test_a_store_whose_clock_is_ahead_makes_no_negative_lag() -> None:
    ahead = {1: NOW_US + SECOND}
    assert row(state_of([update(1, 1)], [], entry_times_us=ahead), "eu").lag_seconds(NOW_US) == 0


# --- behind since when -----------------------------------------------------------------------------------


def then(before: VersionState, entries: list[Entry], acks: list[ModelAck], seconds: int) -> RegionState:
    """The row of a region so many seconds after ``before`` was said."""
    made = known(log_of(*entries), acks, expected=("eu",), previous=before)
    return row(fold(made, before.updated_at_us + seconds * SECOND), "eu")


def test_a_pod_that_restarts_makes_its_region_late_from_then_on_and_not_from_the_publication() -> None:
    entries: list[Entry] = [update(1, 1), update(2, 2)]
    served = state_of(entries, serving("eu", 2, 2), expected=("eu",))
    restarted = pages("eu", [pod("eu-0", 2, 2), pod("eu-1", None)], generation=2, version=2, sequence=2)
    late = then(served, entries, restarted, 5)
    assert late.behind_since_us == NOW_US + 5 * SECOND
    between = replace(served, regions=(late,), updated_at_us=NOW_US + 5 * SECOND)
    assert then(between, entries, restarted, 60).behind_since_us == NOW_US + 5 * SECOND  # and stays so
    assert then(between, entries, serving("eu", 2, 2, sequence=3), 90).behind_since_us == 0


def test_what_is_published_while_a_region_was_up_to_date_counts_from_its_publication() -> None:
    served = state_of([update(1, 1)], serving("eu", 1, 1), expected=("eu",))
    late = then(served, [update(1, 1), update(2, 2)], serving("eu", 1, 1), 5)
    assert late.behind_since_us == TIMES[2]


def test_a_region_that_gets_on_and_is_still_behind_counts_from_what_it_owes_now() -> None:
    entries: list[Entry] = [update(1, 1), update(2, 2), update(3, 3)]
    behind = state_of(entries, serving("eu", 1, 1), expected=("eu",))
    assert row(behind, "eu").behind_since_us == TIMES[2]
    assert then(behind, entries, serving("eu", 2, 2, sequence=2), 5).behind_since_us == TIMES[3]


@pytest.mark.parametrize(
    "pods",
    [
        [pod("eu-0", None, 0, PodState.UNREACHABLE)],
        [pod("eu-0", 1, 1, PodState.UNREACHABLE)],
        [],
        [pod("eu-0", None), pod("eu-1", 1, 1)],
        [pod("eu-0", 1, 1)],
    ],
    ids=["none reachable", "its last answer is none", "none", "one of two serves nothing", "one of two is missing"],
)
def test_a_region_with_a_pod_that_serves_nothing_is_behind_since_it_served_all_whatever_is_published(
    pods: list[PodReport],
) -> None:
    entries: list[Entry] = [update(1, 1)]
    state = state_of(entries, serving("eu", 1, 1), expected=("eu",))
    for version in range(1, 6):
        if version > 1:
            entries.append(update(version, version))
        now_us = NOW_US + version * 50 * SECOND
        dead = pages("eu", pods, sequence=1 + version, generation=version, pods_expected=2, version=version)
        times = TIMES | {v: NOW_US + (v * 50 - 5) * SECOND for v in range(2, version + 1)}
        state = fold(known(log_of(*entries), dead, expected=("eu",), previous=state, entry_times_us=times), now_us)
        assert row(state, "eu").behind_since_us == NOW_US + 50 * SECOND
