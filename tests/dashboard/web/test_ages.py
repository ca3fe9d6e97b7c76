"""How old what is answered is, and that what is too old is not told as served."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from aiohttp.test_utils import TestClient

from modelcast.dashboard.dashboard import Dashboard
from modelcast.dashboard.sources.news import NewsBatch, Reach, SeenState
from modelcast.schemas.unchanged import StatesUnchanged, UnchangedState
from tests.dashboard.makers import REGISTRY, SECOND, now_state, refusing, row
from tests.dashboard.web.conftest import said
from tests.dashboard.web.test_api import read

Serve = Callable[..., Awaitable[TestClient]]


async def test_an_answer_whose_ages_have_changed_is_sent_again_although_nothing_else_has(
    board: Dashboard, serve: Serve
) -> None:
    state = now_state("fraud", [row("eu")])
    said(board, state)
    client = await serve(board)
    first = await client.get("/api/v1/models/fraud")
    before = (await first.json())["model"]["reported_at_us"]
    told_us = time.time_ns() // 1000 + 40 * SECOND
    told = StatesUnchanged(
        REGISTRY, 0, told_us, told_us, (UnchangedState("fraud", state.updated_at_us, told_us, told_us),)
    )
    board.take(NewsBatch("kafka", Reach.LIVE, unchanged=((told, told_us),)))
    board.flush()
    board.stream.send("tick", board.freshness(), time.monotonic())  # as every two seconds
    again = await client.get("/api/v1/models/fraud", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status == 200
    assert (await again.json())["model"]["reported_at_us"] == told_us > before


async def test_an_answer_given_before_all_was_worked_out_is_not_taken_for_the_one_after(
    board: Dashboard, serve: Serve
) -> None:
    said(board, now_state("fraud", [row("eu")]))
    client, now_us = await serve(board), time.time_ns() // 1000
    board.take(NewsBatch("kafka", Reach.LIVE, (SeenState("fraud", now_state("fraud", [refusing("eu")]), now_us),)))
    early = await client.get("/api/v1/problems")
    assert (await early.json())["problems"] == []
    board.flush()
    assert (await client.get("/api/v1/problems", headers={"If-None-Match": early.headers["ETag"]})).status == 200


async def test_what_no_one_has_read_back_for_long_is_nowhere_told_as_served(board: Dashboard, serve: Serve) -> None:
    old_us = time.time_ns() // 1000 - 601 * SECOND
    state = now_state("fraud", [row("eu"), row("us")])
    rows = tuple(replace(each, read_at_us=old_us, heard_at_us=old_us) for each in state.regions)
    said(board, replace(state, regions=rows, consistent_version=7))
    answer = await read(await serve(board), "/api/v1/models/fraud")
    model, regions = answer["model"], answer["regions"]
    assert (model["status"], model["serving"], model["counted"]) == ("SILENT", 0, 2)
    assert (model["consistent_version"], model["last_consistent_version"]) == (None, 7)
    told = {(each["served_version"], each["pods_serving"], each["reported_version"]) for each in regions}
    assert told == {(None, 0, 7)}
