"""The demo's traffic: a slow pod makes it late, never wrong."""

import asyncio
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from modelcast.cli.demo import traffic
from modelcast.cli.demo.traffic import Tally, Traffic


class AlwaysRight:
    inputs = np.zeros((2, 64), np.float32)

    def right(self, version: int, sample: int, output: list[float]) -> bool:
        return output == [1.0]


async def ask(slow_seconds: float, until: Any) -> tuple[Tally, int]:
    """Ask one pod that takes ``slow_seconds`` an answer; the tally, and how many requests it had at once at most."""
    here = most = 0

    async def infer(request: web.Request) -> web.Response:
        nonlocal here, most
        here += 1
        most = max(most, here)
        await asyncio.sleep(slow_seconds)
        here -= 1
        body = {"model_version": "1", "outputs": [{"name": "probabilities", "data": [1.0]}]}
        return web.json_response(body, headers={"modelcast-version": "1"})

    app = web.Application()
    app.router.add_post("/v2/models/m/infer", infer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    sending = Traffic([f"http://127.0.0.1:{port}"], "m", AlwaysRight(), rate=1000.0)  # type: ignore[arg-type]
    stop = asyncio.Event()
    running = asyncio.create_task(sending.run(stop))
    try:
        async with asyncio.timeout(60):
            while not until(sending.tally):
                await asyncio.sleep(0.01)
            stop.set()
            await running
    finally:
        await runner.cleanup()
    sending.tally.count_missing(ended=True)
    return sending.tally, most


async def test_a_slow_pod_is_asked_less_often_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "UNDER_WAY_MAX", 4)
    tally, most = await ask(0.05, lambda tally: tally.sent >= 20)
    assert most <= 4
    assert (tally.failed, tally.lost, tally.wrong) == (0, 0, 0)
    assert sum(tally.answered_by_pod.values()) == tally.sent


async def test_a_request_that_is_not_answered_in_time_is_unanswered_and_did_not_fail(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(traffic, "REQUEST_SECONDS_MAX", 0.05)
    monkeypatch.setattr(traffic, "UNDER_WAY_MAX", 2)
    tally, _ = await ask(5.0, lambda tally: tally.sent >= 2)
    assert tally.unanswered == tally.sent
    assert (tally.failed, tally.lost, tally.examples) == (0, 0, [])
