"""The past over the API: timelines, a moment, a difference; from the origin store alone, with what is wrong named."""

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from itertools import groupby

import pytest

from modelcast.dashboard.dashboard import Dashboard
from modelcast.infra.stores import MemoryStore
from tests.dashboard.makers import now_state, row
from tests.dashboard.pasts import HOUR_US, MODEL, REGIONS, past
from tests.dashboard.web.conftest import Client, said

Serve = Callable[..., Awaitable[Client]]


@pytest.fixture
def now_us(origin: MemoryStore) -> int:
    at_us = time.time_ns() // 1000 // 1_000_000 * 1_000_000
    past(origin, at_us)
    return at_us


async def asked(client: Client, path: str, status: int = 200) -> dict:  # type: ignore[type-arg]
    response = await client.get(f"/api/v1/{path}")
    body: dict = await response.json()  # type: ignore[type-arg]
    assert response.status == status, body
    return body


async def test_a_span_has_a_timeline_for_each_region_and_the_publications(
    serve: Serve, board: Dashboard, now_us: int
) -> None:
    client = await serve(board)
    found = await asked(client, f"models/{MODEL}/history?from={now_us - 6 * HOUR_US}&to={now_us}")
    assert [row["region"] for row in found["timelines"]] == sorted(REGIONS)
    row = next(row for row in found["timelines"] if row["region"] == REGIONS[1])
    told = [(p["certainty"], p["version"], p["after"], p["why"]) for p in row["intervals"]]
    assert [each for each, _ in groupby(told)] == [
        ("UNKNOWN", None, None, "nothing was recorded before"),
        ("CONFIRMED", 1, None, ""),
        ("UNKNOWN", 1, None, "no tracker reported the model"),
        ("CONFIRMED", 1, None, ""),
        ("BETWEEN", 1, 2, ""),
        ("CONFIRMED", 2, None, ""),
        ("UNKNOWN", 2, None, "the region was silent"),
        ("CONFIRMED", 2, None, ""),
        ("BETWEEN", 2, 3, ""),
        ("CONFIRMED", 3, None, ""),
        ("UNKNOWN", 3, None, "it is not recorded yet"),
    ]
    assert row["intervals"][0]["from_us"] == now_us - 6 * HOUR_US
    assert row["intervals"][-1]["to_us"] == now_us
    assert found["through_us"] < now_us


async def test_a_moment_says_what_was_served_and_wanted(serve: Serve, board: Dashboard, now_us: int) -> None:
    client = await serve(board)
    at_us = now_us - HOUR_US // 2
    found = await asked(client, f"at?model={MODEL}&region={REGIONS[0]}&time={at_us}")
    (pair,) = found["regions"]
    assert (pair["served"]["certainty"], pair["served"]["change"]["version"]) == ("CONFIRMED", 3)
    when = datetime.fromtimestamp(at_us / 1e6, UTC)
    assert (await asked(client, f"at?model={MODEL}&time={when:%Y-%m-%dT%H:%M:%SZ}"))["at_us"] == at_us


async def test_a_generation_says_who_was_slowest_and_where(serve: Serve, board: Dashboard, now_us: int) -> None:
    client = await serve(board)
    found = await asked(client, f"models/{MODEL}/generations/3")
    assert (found["entry"]["by"], found["record"]["slowest"]) == ("train-17", REGIONS[-1])
    assert found["record"]["slowest_stage"] == "fetch: origin"
    assert (await asked(client, f"models/{MODEL}/generations/2"))["record"] is None


async def test_two_versions_are_compared(serve: Serve, board: Dashboard, now_us: int) -> None:
    client = await serve(board)
    found = (await asked(client, f"models/{MODEL}/diff?from=1&to=3"))["difference"]
    assert [(f["path"], f["differs"]) for f in found["files"]] == [("weights", "changed")]
    assert (found["files_same"], [m["name"] for m in found["metrics"]]) == (1, ["auc"])


@pytest.mark.parametrize(
    ("path", "status", "subject"),
    [
        (f"models/{MODEL}/history?from=5&to=4", 400, "from, to"),
        (f"models/{MODEL}/history?from=never", 400, "from"),
        (f"models/{MODEL}/diff?from=1", 400, "to"),
        (f"models/{MODEL}/diff?from=1&to=9", 404, f"{MODEL}/9"),
        ("models/nothing/history", 404, "nothing"),
        (f"models/{MODEL}/generations/9", 404, f"{MODEL} generation 9"),
        (f"models/{MODEL}/generations/x", 400, "generation"),
        ("at", 400, "model"),
        (f"at?model={MODEL}&time=12:61", 400, "time"),
        (f"at?model={MODEL}&time=2999-01-01", 400, "time"),
        (f"at?model={MODEL}&region=E%20U", 400, ""),
    ],
)
async def test_what_can_not_be_answered_is_named(
    serve: Serve, board: Dashboard, now_us: int, path: str, status: int, subject: str
) -> None:
    found = await asked(await serve(board), path, status)
    assert found["subject"] == subject
    assert found["error"]
    assert found["hint"]


async def test_how_far_behind_a_model_was_is_told_up_to_where_it_is_known(
    serve: Serve, board: Dashboard, now_us: int
) -> None:
    client = await serve(board)
    found = await asked(client, f"models/{MODEL}/lags?from={now_us - 6 * HOUR_US}&to={now_us}")
    points = found["points"]
    assert points[0]["worst_seconds"] is None, "nothing was recorded before"
    known = [point for point in points if point["worst_seconds"] is not None]
    assert known
    assert max(point["worst_seconds"] for point in known) > 0
    assert [entry["version"] for entry in found["entries"]] == [1, 2, 3]
    assert (await asked(client, f"models/{MODEL}/lags"))["to_us"] >= now_us


async def test_of_a_model_that_is_shown_and_not_archived_nothing_is_told(serve: Serve, board: Dashboard) -> None:
    said(board, now_state("young", [row("eu")]))
    client = await serve(board)
    assert (await asked(client, "models/young/lags"))["points"] == []
    await asked(client, "models/unknown/lags", 404)
