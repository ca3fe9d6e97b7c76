"""How far behind a model was: its worst and its median region, gaps where nothing is known."""

from modelcast.schemas.history.aspired import StoredEntry
from modelcast.schemas.history.lags import LagPoint, lag_curve
from modelcast.schemas.history.timeline import Recorded
from modelcast.schemas.records import ALL_OF_THEM, VersionChange
from tests.agents.tracker.makers import update

SECOND = 1_000_000
START = 1_800_000_000 * SECOND
PUBLISHED = {1: 0, 2: 600}


def change(region: str, status: str, seconds: float, confirmed: float = 0.0) -> VersionChange:
    at_us = START + round(seconds * SECOND)
    return VersionChange("r", "fraud", region, status, at_us, START + round(confirmed * SECOND), 1)


def curve(*changes: VersionChange, through: float = 3600, points: int = 36) -> dict[int, LagPoint]:
    """By seconds."""
    entries = {g: StoredEntry(update(g, g), START + s * SECOND) for g, s in PUBLISHED.items()}
    recorded = Recorded(changes, START + round(through * SECOND))
    found = lag_curve(recorded, entries, START, START + 3600 * SECOND, points)
    return {(point.at_us - START) // SECOND: point for point in found}


WELL = [change(region, "OK", 10) for region in ("ap", "eu", "us")]


def test_a_region_is_behind_since_the_store_received_what_it_owes() -> None:
    found = curve(
        *WELL, change("eu", "LAG", 602), change("us", "LAG", 601), change("us", "OK", 650), change("eu", "OK", 1150)
    )
    assert found[500].worst_seconds == found[500].median_seconds == 0.0
    assert (found[1000].worst_seconds, found[1000].worst_region) == (400.0, "eu")
    assert found[1000].median_seconds == 0.0
    assert found[1200].worst_seconds == 0.0


def test_one_that_owes_nothing_new_is_behind_since_it_was_seen_to_be() -> None:
    found = curve(*WELL, change("eu", "LAG", 2000))
    assert found[2100].worst_seconds == 100.0, "a pod restarted; nothing was published for twenty minutes"


def test_what_fails_is_behind_and_what_is_silent_is_not_known() -> None:
    found = curve(*WELL, change("eu", "LAG", 602), change("eu", "FAILED", 700), change("us", "SILENT", 800))
    assert found[1000].worst_seconds == 400.0
    assert found[1000].unknown == 1


def test_where_no_tracker_spoke_there_is_a_gap_and_after_the_archive_nothing() -> None:
    found = curve(*WELL, change(ALL_OF_THEM, "NONE", 1500, confirmed=1050), through=2000)
    assert found[1000].worst_seconds == 0.0
    assert (found[1100].worst_seconds, found[1100].median_seconds, found[1100].unknown) == (None, None, 3)
    assert found[1500].worst_seconds == 0.0
    assert max(found) == 2000


def test_before_anything_was_recorded_nothing_is_known() -> None:
    assert {point.worst_seconds for point in curve().values()} == {None}
