"""What the screen is fed with: a dashboard's API and its event stream, and that both show what the page shows."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable

import pytest
from aiohttp.test_utils import TestClient

from modelcast.cli.top import shown
from modelcast.cli.top.feeds import ApiFeed, model_of
from modelcast.cli.top.shown import NowShown, now_of
from modelcast.dashboard.dashboard import Dashboard
from modelcast.schemas.statuses import Status
from tests.cli.conftest import Cli
from tests.dashboard import overviews
from tests.dashboard.web.conftest import board, commands, groups, origin, said, serve  # noqa: F401
from tests.support.waiting import until_async

Serve = Callable[..., Awaitable[TestClient]]


class Screen:
    """Keeps what a feed tells."""

    def __init__(self) -> None:
        self.now: NowShown | None = None
        self.away = ""
        self.told = 0

    def __call__(self, now: NowShown | None, away: str) -> None:
        self.now, self.away, self.told = now or self.now, away, self.told + 1


async def test_the_api_feeds_what_a_dashboard_in_this_process_shows(board: Dashboard, serve: Serve) -> None:  # noqa: F811
    said(board, *overviews.everything().values())
    client = await serve(board)
    screen, feed = Screen(), ApiFeed(str(client.make_url("/")))
    task = asyncio.create_task(feed.run(screen))
    try:
        await until_async(lambda: screen.now)
        here = now_of(board, time.monotonic())
        assert screen.now is not None
        assert (screen.now.problems, screen.now.verdict, screen.now.grid) == (here.problems, here.verdict, here.grid)
        assert await feed.model("ranker") == model_of(board, "ranker")
        assert await feed.model("nothing-of-the-kind") is None
        said(board, *overviews.overview().values())
        await until_async(lambda: screen.now and screen.now.verdict.status is Status.OK)
        await client.close()
        await until_async(lambda: screen.away)
        assert screen.now.verdict.status is Status.OK  # what was known stays, with its age
        assert shown.freshness_line(screen.now, screen.now.read_at + 30, screen.away).startswith("◌ reconnecting, 30 s")
    finally:
        task.cancel()


async def test_a_dashboard_that_is_not_there_is_said() -> None:
    screen = Screen()
    task = asyncio.create_task(ApiFeed("http://127.0.0.1:1").run(screen))
    await until_async(lambda: screen.away)
    task.cancel()
    assert "127.0.0.1:1" in screen.away
    assert shown.freshness_line(None, 0.0, screen.away).startswith("◌ can't load: http://127.0.0.1:1")


def test_without_the_extra_the_command_says_what_to_install(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(sys.modules):
        if name.startswith("modelcast.cli.top"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "textual.app", None)
    ended = cli("top")
    assert ended.code == 1
    assert "pip install 'modelcast[top]'" in ended.err


@pytest.mark.parametrize(
    ("words", "told"), [(["top"], "needs a terminal"), (["top", "--url", "dashboard:9470"], "no address")]
)
def test_what_it_can_not_show_is_a_usage_error(cli: Cli, words: list[str], told: str) -> None:
    ended = cli(*words)
    assert ended.code == 2
    assert told in ended.err
