"""Tracker's metrics, dashboard's metrics, API, page, verdict and command line count the same pairs in the same way."""

import io
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry
from rich.console import Console, RenderableType

from modelcast.agents.tracker.state_metrics import StateMetrics
from modelcast.cli.views import tables
from modelcast.cli.views.state_source import Sighting
from modelcast.dashboard.dashboard import Dashboard
from modelcast.dashboard.groups import GroupReader, GroupsWatch
from modelcast.dashboard.metrics import collected
from modelcast.dashboard.sources.news import NewsBatch, Reach, SeenState
from modelcast.dashboard.web.rows import model_line, region_line
from modelcast.infra.settings import Settings
from modelcast.schemas.records import RegionState, VersionState
from modelcast.schemas.statuses import LOOKS, Limits, Status
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


def printed(what: RenderableType) -> list[list[str]]:
    console = Console(file=io.StringIO(), width=200, highlight=False)
    console.print(what)
    return [line.split() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def board_of(state: VersionState) -> Dashboard:
    board = Dashboard(Limits())
    board.take(NewsBatch("kafka", Reach.LIVE, (SeenState(MODEL, state, state.updated_at_us),)))
    board.flush()
    return board


def counts_everywhere(state: VersionState) -> dict[str, tuple[int, int]]:
    """(serving, counted) as each place has it."""
    board, tracker, registry = board_of(state), StateMetrics(), CollectorRegistry()
    tracker.show(state)
    registry.register(tracker)
    by_status = collected(board, GroupsWatch(lambda: GroupReader(Settings()))).get_sample_value
    pairs = {s: int(by_status("modelcast_model_pairs", {"model": MODEL, "status": s.value}) or 0) for s in Status}
    line, verdict = model_line(board.overview.models[MODEL]), board.verdict.pairs
    head, told = printed(tables.models_table([Sighting(state, 0.0, "redis")]))
    serving, counted = told[head.index("REGIONS")].split("/")
    value = registry.get_sample_value
    ours = {"model": MODEL}

    def serve(found: dict[str, int]) -> tuple[int, int]:
        return sum(n for name, n in found.items() if LOOKS[Status(name)].serves_aspired), sum(found.values())

    return {
        "tracker's metrics": (
            int(value("modelcast_model_regions_serving", ours) or 0),
            int(value("modelcast_model_regions", ours) or 0),
        ),
        "dashboard's metrics": serve({status.value: count for status, count in pairs.items()}),
        "API and page": (line.serving, line.counted),
        "API's list of statuses": serve(line.statuses),
        "verdict": serve(dict(verdict)),
        "command line": (int(serving), int(counted)),
    }


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
