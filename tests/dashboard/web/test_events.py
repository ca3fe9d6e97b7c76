"""What watchers are told, and that none of them is waited for."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient

from modelcast.dashboard.dashboard import MODELS_SENT, Dashboard
from modelcast.dashboard.stream import QUEUE_MAX, EventStream
from modelcast.schemas.states import State
from tests.dashboard.makers import fetching, now_state, refusing, row
from tests.dashboard.web.conftest import said

Serve = Callable[..., Awaitable[TestClient]]


async def frame(answer: ClientResponse) -> dict[str, Any]:
    """The next event: its fields, ``data`` parsed."""
    fields: dict[str, Any] = {}
    async with asyncio.timeout(10):
        while True:
            line = (await answer.content.readline()).decode().rstrip("\n")
            if not line and "event" in fields:
                return fields
            name, _, value = line.partition(": ")
            if name:
                fields[name] = json.loads(value) if name == "data" else value


async def until(answer: ClientResponse, kind: str) -> dict[str, Any]:
    while True:
        event = await frame(answer)
        if event["event"] == kind:
            return event


async def test_who_watches_hears_what_changes(board: Dashboard, serve: Serve) -> None:
    said(board, now_state("fraud", [row("eu"), row("us")]))
    client = await serve(board)
    watching = await client.get("/api/v1/events")
    assert watching.headers["Content-Type"].startswith("text/event-stream")
    assert watching.headers["X-Accel-Buffering"] == "no"
    assert watching.headers["Cache-Control"] == "no-store"
    hello = await frame(watching)
    assert hello["event"] == "hello"
    assert hello["data"]["boot"] == board.stream.boot
    said(board, now_state("fraud", [row("eu"), fetching("us", 9)]))
    pairs = await frame(watching)
    assert pairs["event"] == "pairs"
    assert [p[:3] for p in pairs["data"]] == [["fraud", "us", "LAG"]]
    assert pairs["id"].startswith(board.stream.boot)
    verdict = await frame(watching)
    assert (verdict["event"], verdict["data"]["status"]) == ("verdict", "LAG")
    problem = await until(watching, "problem")
    assert problem["data"]["model"] == "fraud"
    said(board, now_state("fraud", [row("eu"), row("us")]))
    assert (await until(watching, "gone"))["data"] == problem["data"]["id"]
    watching.close()


async def test_a_pair_that_gets_worse_is_the_same_line_and_has_not_recovered(board: Dashboard, serve: Serve) -> None:
    said(board, now_state("fraud", [row("eu"), row("us")]))
    watching = await (await serve(board)).get("/api/v1/events")
    lines = []
    failed = fetching("us", 90, state=State.FAILED, error="out of memory")
    for it in (fetching("us", 70), failed):
        said(board, now_state("fraud", [row("eu"), it]))
        lines.append((await until(watching, "problem"))["data"])
    assert [(each["id"], each["status"]) for each in lines] == [("pair:fraud@us", "LATE"), ("pair:fraud@us", "FAILED")]
    said(board, now_state("fraud", [row("eu"), row("us")]))
    kinds = []
    while (event := await frame(watching))["event"] != "recovered":
        kinds.append(event["event"])
    assert kinds.count("gone") == 1
    assert (event["data"]["id"], event["data"]["status"]) == ("pair:fraud@us", "FAILED")
    assert event["data"]["recovered_us"] > event["data"]["since_us"] > 0
    watching.close()


async def test_more_models_than_are_named_at_once_are_told_as_any(board: Dashboard, serve: Serve) -> None:
    names = [f"m{n:03}" for n in range(MODELS_SENT + 1)]
    said(board, *(now_state(name, [row("eu")]) for name in names))
    watching = await (await serve(board)).get("/api/v1/events")
    said(board, *(now_state(name, [fetching("eu", 9)]) for name in names))
    assert (await until(watching, "models"))["data"] is None
    said(board, now_state(names[-1], [row("eu")]))
    assert (await until(watching, "models"))["data"] == [names[-1]]
    watching.close()


async def test_who_comes_back_hears_what_was_missed(board: Dashboard, serve: Serve) -> None:
    said(board, now_state("fraud", [row("eu")]))
    client = await serve(board)
    at = board.stream.number
    said(board, now_state("fraud", [refusing("eu")]))
    watching = await client.get("/api/v1/events", headers={"Last-Event-ID": f"{board.stream.boot}-{at}"})
    assert (await frame(watching))["event"] == "hello"
    assert (await frame(watching))["event"] == "pairs"
    watching.close()


async def test_who_missed_too_much_or_knew_another_life_reads_anew(board: Dashboard, serve: Serve) -> None:
    client = await serve(board)
    for last in ("other-3", "nonsense", f"{board.stream.boot}-999999", f"{board.stream.boot}-²"):
        watching = await client.get("/api/v1/events", headers={"Last-Event-ID": last.encode().decode("latin-1")})
        assert (await frame(watching))["event"] == "hello"
        assert (await frame(watching))["event"] == "resync"
        watching.close()


async def test_a_model_that_comes_has_the_grid_read_anew(board: Dashboard, serve: Serve) -> None:
    said(board, now_state("fraud", [row("eu")]))
    watching = await (await serve(board)).get("/api/v1/events")
    await frame(watching)
    said(board, now_state("ranker", [row("eu")]))
    assert (await frame(watching))["event"] == "resync"
    watching.close()


def test_who_reads_nothing_gets_one_resync_instead_of_a_long_queue() -> None:
    async def scenario() -> None:
        stream = EventStream("boot")
        slow, _ = stream.join("")
        quick, _ = stream.join("")
        for number in range(QUEUE_MAX + 1):
            stream.send("tick", {"n": number}, float(number) / 100)
            quick.queue.get_nowait()
        assert slow.queue.qsize() == 1
        assert b"event: resync" in slow.queue.get_nowait()
        assert stream.resyncs == 1

    asyncio.run(scenario())


def test_what_is_older_than_a_minute_is_forgotten() -> None:
    async def scenario() -> None:
        stream = EventStream("boot")
        stream.send("tick", {}, 0.0)
        stream.send("tick", {}, 61.0)
        _, missed = stream.join("boot-1")
        assert [b"event: tick" in each for each in missed] == [True]
        _, missed = stream.join("boot-0")
        assert [b"event: resync" in each for each in missed] == [True]

    asyncio.run(scenario())


async def test_a_stream_too_many_is_refused_and_says_when_to_come_back(board: Dashboard, serve: Serve) -> None:
    client = await serve(board, watchers_max=1)
    first = await client.get("/api/v1/events")
    await frame(first)
    second = await client.get("/api/v1/events")
    assert (second.status, second.headers["Retry-After"]) == (503, "10")
    first.close()


async def test_a_tab_that_is_closed_is_forgotten(board: Dashboard, serve: Serve) -> None:
    watching = await (await serve(board)).get("/api/v1/events")
    await frame(watching)
    watching.close()
    deadline = time.monotonic() + 10
    while board.stream.watchers:
        assert time.monotonic() < deadline
        board.stream.send("tick", {}, time.monotonic())
        await asyncio.sleep(0.05)


async def test_who_takes_nothing_delays_nobody(board: Dashboard, serve: Serve) -> None:
    client = await serve(board)
    assert client.port is not None
    stalled = [await asyncio.open_connection("127.0.0.1", client.port, limit=1024) for _ in range(10)]
    for reader, writer in stalled:
        writer.write(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await writer.drain()
        await reader.readline()  # and never again
    watching = await client.get("/api/v1/events")
    await frame(watching)
    began, text = time.monotonic(), "x" * 50_000
    for number in range(400):  # 20 MB, more than any socket takes
        board.stream.send("tick", {"n": number, "text": text}, time.monotonic())
        assert (await frame(watching))["data"]["n"] == number
    assert time.monotonic() - began < 20
    assert board.stream.resyncs >= 10
    assert max(w.queue.qsize() for w in board.stream.watchers) <= QUEUE_MAX
    for _, writer in stalled:
        writer.close()
    watching.close()
