"""What the dashboard shows of pairs: few series, by status, and nothing of what is gone."""

import time

from prometheus_client import CollectorRegistry, generate_latest

from modelcast.dashboard.dashboard import Dashboard
from modelcast.dashboard.groups import GroupReader, GroupsWatch
from modelcast.dashboard.metrics import collected
from modelcast.dashboard.sources.news import NewsBatch, Reach, SeenState
from modelcast.infra.settings import Settings
from modelcast.schemas.statuses import Limits, Status
from tests.dashboard.makers import fetching, now_state, refusing, row

MODELS, REGIONS = 500, 200


def shown(board: Dashboard) -> CollectorRegistry:
    return collected(board, GroupsWatch(lambda: GroupReader(Settings())))


def board_of(*states: SeenState) -> Dashboard:
    board = Dashboard(Limits())
    board.take(NewsBatch("kafka", Reach.LIVE, states))
    board.flush()
    return board


def test_pairs_are_counted_by_status_so_that_a_large_fleet_has_fewer_than_10_000_series() -> None:
    now_us = time.time_ns() // 1000
    states = [
        now_state("fraud", [row("eu"), row("us"), refusing("ap")]),
        now_state("churn", [row("eu"), fetching("us", 9), row("ap")]),
    ]
    registry = shown(board_of(*(SeenState(each.model, each, now_us) for each in states)))
    value = registry.get_sample_value
    assert value("modelcast_model_pairs", {"model": "fraud", "status": "OK"}) == 2
    assert value("modelcast_model_pairs", {"model": "fraud", "status": "REFUSED"}) == 1
    assert value("modelcast_region_pairs", {"region": "us", "status": "LAG"}) == 1
    lines = [line for line in generate_latest(registry).decode().splitlines() if "_pairs{" in line]
    assert len(lines) == 4 + 5  # a status that no pair has takes none
    assert (MODELS + REGIONS) * len(Status) < 10_000, "all statuses everywhere"


def test_a_model_that_is_gone_has_no_series() -> None:
    now_us = time.time_ns() // 1000
    board = board_of(SeenState("fraud", now_state("fraud", [row("eu")]), now_us))
    board.take(NewsBatch("kafka", Reach.LIVE, (SeenState("fraud", None, now_us + 1),)))
    board.flush()
    assert b"fraud" not in generate_latest(shown(board))


def test_the_version_that_runs_is_shown() -> None:
    assert b'modelcast_build_info{version="' in generate_latest(shown(board_of()))
