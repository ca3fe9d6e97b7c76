"""Each status, and when it stands."""

from dataclasses import replace
from typing import Any

import pytest

from modelcast.schemas.records import RegionState
from modelcast.schemas.states import State
from modelcast.schemas.statuses import (
    LOOKS,
    Limits,
    Status,
    as_known,
    counts,
    rank,
    state_as_known,
    status_of,
    worst,
)
from tests.dashboard.makers import row, state

SECOND = 1_000_000
NOW = 1_800_000_000 * SECOND
LIMITS = Limits()


def timed(it: RegionState, behind: float, moved: float, read: float) -> RegionState:
    """The row, of which things were so many seconds ago; 0: it is not behind."""
    since_us = NOW - int(behind * SECOND) if behind else 0
    ago = {"moved_at_us": NOW - int(moved * SECOND), "read_at_us": NOW - int(read * SECOND)}
    return replace(it, behind_since_us=since_us, **ago)


def status(it: RegionState, *, alarm: bool = False, behind: float = 0, moved: float = 1, read: float = 1) -> Status:
    """The status of a row; ages in seconds."""
    return status_of(timed(it, behind, moved, read), NOW, LIMITS, alarm=alarm).status


BEHIND = row("eu", state=State.FETCHING, served_version=6)
TABLE = [
    ("all is well", row("eu"), {}, Status.OK),
    ("an alarm", row("eu"), {"alarm": True}, Status.ALARM),
    ("an alarm of a silent region", row("eu", silent=True), {"alarm": True}, Status.ALARM),
    ("silent", row("eu", silent=True), {}, Status.SILENT),
    ("silent while it refuses", row("eu", silent=True, state=State.QUARANTINED), {}, Status.SILENT),
    (
        "never heard of, and expected",
        row("eu", state=None, silent=True, heard_at_us=0, served_version=None),
        {},
        Status.NONE,
    ),
    ("heard, and has not reported yet", row("eu", state=None, served_version=None), {"behind": 5}, Status.LAG),
    ("reported once, and no heartbeat is known", row("eu", silent=True, heard_at_us=0), {}, Status.SILENT),
    ("not read back for long", row("eu"), {"read": 601}, Status.SILENT),
    ("read back in time", row("eu"), {"read": 599}, Status.OK),
    ("refuses what is wanted", row("eu", aspired_version=8, refused_version=8), {}, Status.REFUSED),
    ("refused the newest, and a person went back", row("eu", refused_version=8), {}, Status.OK),
    ("quarantined", row("eu", state=State.QUARANTINED), {"behind": 5}, Status.REFUSED),
    ("refuses while it fails", row("eu", state=State.FAILED, aspired_version=8, refused_version=8), {}, Status.REFUSED),
    ("failed", row("eu", state=State.FAILED, served_version=6), {"behind": 5}, Status.FAILED),
    (
        "behind, and nothing moves",
        BEHIND,
        {"behind": 61, "moved": 61},
        Status.STALLED,
    ),
    (
        "behind for long, and it moves",
        BEHIND,
        {"behind": 61, "moved": 59},
        Status.LATE,
    ),
    ("behind for a moment", BEHIND, {"behind": 59}, Status.LAG),
    ("behind since no one knows when", row("eu", state=State.STAGED, served_version=6), {}, Status.LAG),
    ("one pod of two", row("eu", pods_serving=1), {"behind": 5}, Status.LAG),
    (
        "no pods, a state of its own",
        row("eu", pods_serving=0, pods_expected=0, served_version=None),
        {"behind": 70},
        Status.EMPTY,
    ),
    ("pinned, and serves it", row("eu", left_out="pinned", pinned_version=7), {}, Status.HELD),
    ("paused", row("eu", paused=True), {}, Status.HELD),
    ("pinned, and not there yet", row("eu", pinned_version=7, served_version=6), {"behind": 5}, Status.LAG),
    ("outside the placement, serves the older", row("eu", left_out="placement"), {}, Status.OUT),
    (
        "outside the placement, and its pods fail",
        row("eu", left_out="placement", state=State.FAILED),
        {},
        Status.FAILED,
    ),
    ("taken out of service", row("eu", left_out="unexpected", silent=True), {}, Status.OUT),
    ("nothing is to be served", row("eu", aspired_version=None, served_version=None), {}, Status.NONE),
]


@pytest.mark.parametrize(("it", "ages", "expected"), [pytest.param(r, a, w, id=name) for name, r, a, w in TABLE])
def test_the_status_of_a_pair(it: RegionState, ages: dict[str, float], expected: Status) -> None:
    assert status(it, **ages) is expected  # type: ignore[arg-type]


def test_every_status_is_in_the_table() -> None:
    assert {expected for *_, expected in TABLE} == set(Status)


@pytest.mark.parametrize(
    ("it", "behind", "moved", "changes_in", "into"),
    [
        (row("eu"), 0, 1, 600, Status.SILENT),  # not read back again
        (BEHIND, 30, 1, 30, Status.LATE),
        (BEHIND, 90, 20, 40, Status.STALLED),
        (BEHIND, 90, 90, 600, Status.SILENT),
        (row("eu", state=State.FAILED), 90, 90, 600, Status.SILENT),
        (row("eu", state=State.QUARANTINED), 90, 90, 600, Status.SILENT),
    ],
)
def test_a_word_says_until_when_it_stands_by_the_clock_alone(
    it: RegionState, behind: int, moved: int, changes_in: int, into: Status
) -> None:
    it = timed(it, behind, moved, 0)
    now = status_of(it, NOW, LIMITS)
    assert now.until_us == NOW + changes_in * SECOND + 1
    assert status_of(it, now.until_us - 1, LIMITS).status is now.status
    assert status_of(it, now.until_us, LIMITS).status is into


def test_what_only_news_can_change_has_no_end() -> None:
    empty: dict[str, Any] = {"read_at_us": 0, "served_version": None, "pods_serving": 0}
    for it in (row("eu", silent=True), row("eu", unread=True), row("eu", state=State.FAILED, **empty)):
        assert status_of(it, NOW, LIMITS).until_us == 0


@pytest.mark.parametrize("it", [row("eu"), BEHIND, row("eu", state=State.FAILED), row("eu", left_out="placement")])
def test_what_was_not_read_back_in_time_serves_nothing_whatever_its_status_was(it: RegionState) -> None:
    it = timed(it, 0, 1, 599)
    assert as_known(it, NOW, LIMITS) is it
    later = as_known(it, NOW + 2 * SECOND, LIMITS)
    assert (later.unread, later.served_version, later.pods_serving) == (True, None, 0)
    assert later.reported_version == it.reported_version
    assert as_known(later, NOW + 9 * SECOND, LIMITS) is later


def test_a_silent_region_serves_nothing_whoever_wrote_that_it_does() -> None:
    known = as_known(row("eu", silent=True), NOW, LIMITS)
    assert (known.served_version, known.pods_serving, known.unread) == (None, 0, False)


def test_no_version_is_consistent_where_one_region_that_counts_is_not_known() -> None:
    old = NOW - 601 * SECOND
    said = state("fraud", [row("eu"), row("us", read_at_us=old)])
    assert said.consistent_version == 7
    known = state_as_known(said, NOW, LIMITS)
    assert (known.consistent_version, known.consistent_since_us, known.last_consistent_version) == (None, 0, 7)
    assert [r.served_version for r in known.regions] == [7, None]
    outside = state("fraud", [row("eu"), row("us", read_at_us=old, left_out="placement")])
    assert state_as_known(outside, NOW, LIMITS).consistent_version == 7


def test_statuses_are_ordered_worst_first_and_the_worst_is_taken() -> None:
    assert worst([Status.OK, Status.LAG, Status.SILENT]) is Status.SILENT
    assert worst([]) is Status.NONE
    assert sorted(Status, key=rank) == list(Status)


def test_what_is_outside_does_not_count_and_what_is_pinned_does() -> None:
    assert [counts(row("eu", left_out=why)) for why in ("", "pinned", "placement", "unexpected")] == [
        True,
        True,
        False,
        False,
    ]


def test_every_status_looks_different_without_its_colour() -> None:
    assert set(LOOKS) == set(Status)
    assert len({look.shape for look in LOOKS.values()}) == len(LOOKS)
    assert {status for status, look in LOOKS.items() if look.serves_aspired} == {Status.OK, Status.HELD}


def luminance(colour: str) -> float:
    channels = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("each", list(Status))
def test_every_status_can_be_read_on_both_grounds(each: Status) -> None:
    light, dark = luminance(LOOKS[each].light), luminance(LOOKS[each].dark)
    assert 1.05 / (light + 0.05) >= 4.5
    assert (dark + 0.05) / (luminance("#111111") + 0.05) >= 4.5
