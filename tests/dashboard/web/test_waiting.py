"""A stream that ends: whoever waits is told of every step, once, and of the end; nothing is polled."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from aiohttp.test_utils import TestClient

from modelcast.dashboard.dashboard import Dashboard
from modelcast.dashboard.sources.news import NewsBatch, Reach, SeenState
from modelcast.dashboard.web import waiting
from modelcast.schemas.records import PodReport
from modelcast.schemas.states import PodState, State
from tests.dashboard.makers import fetching, now_state, refusing, row
from tests.dashboard.web.conftest import said
from tests.dashboard.web.test_events import frame
from tests.support.waiting import until_async

Serve = Callable[..., Awaitable[TestClient]]
WAIT = "/api/v1/wait/fraud/8"


def serving(region: str) -> object:
    return row(region, aspired_version=8, served_version=8, reported_version=8, aspired_generation=8)


async def test_every_step_is_told_once_and_the_last_one_ends_the_stream(board: Dashboard, serve: Serve) -> None:
    said(board, now_state("fraud", [fetching("eu", 9), fetching("us", 9)]))
    client = await serve(board)
    answer = await client.get(WAIT)
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    first = await frame(answer)
    assert (first["event"], first["data"]["there"], first["data"]["late"]) == ("waiting", [], "")
    assert len(first["data"]["missing"]) == 2
    for _ in range(5):
        said(board, now_state("fraud", [fetching("eu", 9), fetching("us", 9)]))  # no news
    said(board, now_state("spam", [row("eu")]))
    said(board, now_state("fraud", [serving("eu"), fetching("us", 9)]))
    second = await frame(answer)
    assert (second["event"], second["data"]["there"]) == ("waiting", ["eu"])
    said(board, now_state("fraud", [serving("eu"), serving("us")]))
    end = await frame(answer)
    assert (end["event"], end["data"]["there"], end["data"]["missing"]) == ("reached", ["eu", "us"], [])
    assert await answer.content.read() == b""


@pytest.mark.parametrize(("level", "outcome"), [("one", "reached"), ("quorum", "reached"), ("all", "timeout")])
async def test_the_level_tells_how_many_are_enough(board: Dashboard, serve: Serve, level: str, outcome: str) -> None:
    said(board, now_state("fraud", [serving("eu"), serving("us"), fetching("ap", 9)]))
    client = await serve(board)
    answer = await client.get(WAIT, params={"level": level, "timeout": "0.2"})
    events = [(await frame(answer))["event"]]
    while events[-1] == "waiting":
        events.append((await frame(answer))["event"])
    assert events[-1] == outcome


async def test_a_refusal_and_what_superseded_it_end_it(board: Dashboard, serve: Serve) -> None:
    said(board, now_state("fraud", [serving("eu"), refusing("us")]))
    client = await serve(board)
    refused = await frame(await client.get(WAIT))
    assert refused["event"] == "refused"
    assert "us" in refused["data"]["refused"][0]
    newer = row("eu", aspired_version=9, aspired_generation=12)
    said(board, now_state("fraud", [newer], head_generation=12))
    assert (await frame(await client.get(WAIT, params={"generation": "8"})))["event"] == "superseded"


async def test_a_format_that_no_pod_can_load_ends_it(board: Dashboard, serve: Serve) -> None:
    pod = PodReport("p", PodState.FAILED, error="unsupported: needs model.onnx")
    said(board, now_state("fraud", [fetching("eu", 9, state=State.FAILED, pods=(pod,))]))
    client = await serve(board)
    assert (await frame(await client.get(WAIT)))["event"] == "unsupported"


async def test_what_is_old_decides_nothing_and_says_its_age(board: Dashboard, serve: Serve) -> None:
    told_us = time.time_ns() // 1000 - 200_000_000
    state = now_state("fraud", [serving("eu")])
    board.take(NewsBatch("kafka", Reach.LIVE, (SeenState("fraud", state, told_us),)))
    client = await serve(board)
    old = await frame(await client.get(WAIT))
    assert (old["event"], old["data"]["there"]) == ("waiting", ["eu"])
    assert old["data"]["age_seconds"] > 190
    assert "the tracker last reported" in old["data"]["late"]


async def test_looks_do_not_grow_with_time_and_a_model_that_is_not_known_yet_is_waited_for(
    board: Dashboard, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []

    def counted(*args: object, **kwargs: object) -> object:
        looks.append(time.monotonic())
        return judged(*args, **kwargs)

    judged = waiting.convergence_of
    monkeypatch.setattr(waiting, "convergence_of", counted)
    client = await serve(board)
    answer = await client.get(WAIT)
    assert (await frame(answer))["data"]["missing"] == ["the tracker has not reported it yet"]
    before = len(looks)
    await asyncio.sleep(1)
    assert len(looks) == before
    said(board, now_state("fraud", [serving("eu")]))
    assert (await frame(answer))["event"] == "reached"
    assert len(looks) == before + 1


async def test_a_client_that_left_is_forgotten_and_too_many_are_refused(board: Dashboard, serve: Serve) -> None:
    client = await serve(board, watchers_max=2)
    open_ones = [await client.get(WAIT) for _ in range(2)]
    refused = await client.get(WAIT)
    assert refused.status == 503
    assert (await refused.json())["hint"] == "dashboard.watchers_max"
    for each in open_ones:
        each.close()

    async def again() -> bool:
        return (await client.get(WAIT, params={"timeout": "0.1"})).status == 200

    async with asyncio.timeout(30):
        while not await again():
            said(board, now_state("fraud", [fetching("eu", 9)]))  # a closed connection is found by writing
            await asyncio.sleep(0.05)
    await until_async(lambda: not board._listening)


@pytest.mark.parametrize(
    ("path", "subject"),
    [
        ("/api/v1/wait/fraud/x", "version"),
        ("/api/v1/wait/fraud/0", ""),
        ("/api/v1/wait/FRAUD/8", ""),
        (WAIT + "?level=most", ""),
        (WAIT + "?timeout=never", "timeout"),
        (WAIT + "?timeout=1e9", "timeout"),
        (WAIT + "?generation=-1", "generation"),
    ],
)
async def test_bad_requests_are_told(board: Dashboard, serve: Serve, path: str, subject: str) -> None:
    client = await serve(board)
    answer = await client.get(path)
    assert answer.status == 400
    fault = await answer.json()
    assert fault["hint"]
    assert subject in fault["subject"]
