"""Tracker's metrics, dashboard's metrics, API, page, verdict and command line count the same pairs in the same way."""

from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from modelcast.agents.tracker.state_metrics import StateMetrics
from modelcast.cli.views import tables
from modelcast.dashboard.web.rows import region_line
from modelcast.schemas.records import RegionState
from modelcast.schemas.statuses import Status
from tests.dashboard.counting import board_of, counts_everywhere, printed
from tests.dashboard.makers import fetching, now_state, refusing, row

MODEL = "fraud"
HELD_BACK = {"aspired_version": 6, "served_version": 6, "pinned_version": 6, "left_out": "pinned"}
EMPTY = {"pods_serving": 0, "pods_expected": 0, "served_version": None}
UNKNOWN = {"served_version": None, "pods_serving": 0}
ROWS: dict[str, tuple[RegionState, Status, bool, bool]] = {
    # how it stands, whether it counts, whether it serves what it should
    "well": (row("eu"), Status.OK, True, True),
    "paused": (row("eu", paused=True), Status.HELD, True, True),
    "pinned elsewhere": (row("eu", **HELD_BACK), Status.HELD, True, True),
    "pinned, and behind": (row("eu", behind_seconds=9, **HELD_BACK | UNKNOWN), Status.LAG, True, False),
    "rolling out": (fetching("eu", 9), Status.LAG, True, False),
    "late": (fetching("eu", 99), Status.LATE, True, False),
    "refused": (refusing("eu", behind_seconds=99), Status.REFUSED, True, False),
    "silent": (row("eu", silent=True, **UNKNOWN), Status.SILENT, True, False),
    "not read back": (row("eu", unread=True, **UNKNOWN), Status.SILENT, True, False),
    "without pods": (row("eu", behind_seconds=99, **EMPTY), Status.EMPTY, True, False),
    "outside the placement": (row("eu", left_out="placement"), Status.OUT, False, False),
    "taken out of service": (row("eu", left_out="unexpected", silent=True), Status.OUT, False, False),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_a_pair_is_counted_alike_everywhere(name: str) -> None:
    it, status, counted, serving = ROWS[name]
    state = now_state(MODEL, [it, row("us")])
    assert board_of(state).overview.models[MODEL].pairs["eu"].status is status
    found = counts_everywhere(state)
    assert set(found.values()) == {(1 + serving, 1 + counted)}, found


def test_nothing_serves_what_it_should_anywhere_while_there_is_an_alarm() -> None:
    found = counts_everywhere(now_state(MODEL, [row("eu"), row("us")], alarm="the log was rewritten"))
    assert set(found.values()) == {(0, 2)}, found


def test_all_of_them_together_and_each_region_by_itself() -> None:
    rows = [replace(it, region=f"r{place}") for place, (it, *_) in enumerate(ROWS.values())]
    state = now_state(MODEL, rows)
    found = counts_everywhere(state)
    serving = sum(serves for *_, serves in ROWS.values())
    assert set(found.values()) == {(serving, sum(counts for _, _, counts, _ in ROWS.values()))}, found
    board = board_of(state)
    view = board.overview.models[MODEL]
    for place, (_, _, counted, serves) in enumerate(ROWS.values()):
        name = f"r{place}"
        line = region_line(board.overview, name)
        assert (line.serving, line.counted) == (int(serves), int(counted)), name
        pair = {MODEL: view.pairs[name]}
        head, told = printed(tables.regions_table([(name, 1, "1", 0.0, False, pair, None, 0.0)]))
        assert f"{line.serving}/{line.counted}" in told, (head, told)


def test_a_late_region_is_late_to_the_alerts_as_on_the_page() -> None:
    rows = [replace(it, region=f"r{place}") for place, (it, *_) in enumerate(ROWS.values())]
    state, tracker, registry = now_state(MODEL, rows), StateMetrics(), CollectorRegistry()
    tracker.show(state)
    registry.register(tracker)
    assert registry.get_sample_value("modelcast_model_regions_late", {"model": MODEL}) == 2  # late, and refused so long
