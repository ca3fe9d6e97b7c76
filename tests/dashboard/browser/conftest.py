"""A real dashboard over a board that tests fill, and a real browser that looks at it."""

import asyncio
import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from modelcast.dashboard.actions import CommandWriter
from modelcast.dashboard.dashboard import Dashboard
from modelcast.dashboard.groups import GroupReader, GroupsWatch
from modelcast.dashboard.sources.history_source import HistorySource
from modelcast.dashboard.sources.log_reader import LogSource
from modelcast.dashboard.sources.news import NewsBatch, Reach, SeenState
from modelcast.dashboard.view.overview import Worker
from modelcast.dashboard.web.app import make_web_app
from modelcast.infra.settings_dashboard import ActionSettings, DashboardSettings
from modelcast.infra.stores import MemoryStore
from modelcast.schemas.log.statements import state
from modelcast.schemas.records import Entry, RegionHeartbeat, VersionState
from modelcast.schemas.statuses import Limits
from tests.dashboard.makers import REGISTRY, SECOND
from tests.dashboard.web.conftest import nowhere
from tests.producers.fakes import SETTINGS, Heard
from tests.support.records.folding import NOWHERE
from tests.support.servers.stores import required_binary

PROGRAMS = ("chromium-headless-shell", "chromium", "google-chrome")
SHOTS = os.environ.get("MODELCAST_SCREENSHOTS", "")
"""A folder to keep the screenshots in, for people."""


TOKEN = "a" * 43
ENABLED = ActionSettings(enabled=True, tokens={"anna": "sha256:" + hashlib.sha256(TOKEN.encode()).hexdigest()})


class Shown:
    """A dashboard on a loop of its own; tests say what the tracker says."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.board = self._on_loop(self._start())

    def _on_loop(self, what: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(what, self.loop).result(30)

    async def _start(self) -> Dashboard:
        board, settings = (
            Dashboard(Limits()),
            nowhere().model_copy(update={"dashboard": DashboardSettings(actions=ENABLED)}),
        )
        self.origin = MemoryStore()
        commands = CommandWriter(SETTINGS, store=self.origin, announcer=Heard())
        self.groups = GroupsWatch(lambda: GroupReader(settings))
        self._runner = web.AppRunner(
            make_web_app(
                settings, board, LogSource(settings), self.groups, commands, HistorySource(settings, self.origin)
            ),
            access_log=None,
            shutdown_timeout=1,
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self._running = self.loop.create_task(board.run())
        self.tracker_lives = True
        self._beating = self.loop.create_task(self._beat(board))
        return board

    async def _beat(self, board: Dashboard) -> None:
        """A tracker tells each second that it lives, or Redis for how long none has."""
        lived = time.monotonic()
        while True:
            lived = time.monotonic() if self.tracker_lives else lived
            board.take(NewsBatch("redis", Reach.LIVE, tracker_seconds=time.monotonic() - lived))
            await asyncio.sleep(1.0)

    def say(
        self, states: Mapping[str, VersionState], *, age_seconds: float = 0, entries: tuple[tuple[Entry, int], ...] = ()
    ) -> None:
        """The tracker says these states, and no others any more."""
        at_us = time.time_ns() // 1000 - int(age_seconds * SECOND)
        seen = tuple(SeenState(name, each, at_us) for name, each in states.items())
        names = {r.region for each in states.values() for r in each.regions}
        workers = {name: (Worker(beat(name, at_us), at_us),) for name in names}

        async def take() -> None:
            stated = tuple((state(entry, NOWHERE), at) for entry, at in entries)
            self.board.take(NewsBatch("kafka", Reach.LIVE, seen, stated, complete=frozenset(states)))
            self.board.take(NewsBatch("redis", Reach.LIVE, workers=workers))
            self.board.flush()

        self._on_loop(take())

    def take(self, batch: NewsBatch) -> None:
        """A source says something else."""

        async def take() -> None:
            self.board.take(batch)

        self._on_loop(take())

    def stop(self) -> None:
        """End it; open streams are told. Once is enough."""
        if not self._thread.is_alive():
            return

        async def end() -> None:
            self._running.cancel()
            self._beating.cancel()
            await self._runner.cleanup()

        self._on_loop(end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)


def beat(region: str, at_us: int) -> RegionHeartbeat:
    software = {"modelcast": "0.1.0", "python": "3.12.1"}
    return RegionHeartbeat(
        REGISTRY,
        region,
        f"{region}-w1",
        7,
        at_us - 86400 * SECOND,
        at_us,
        10,
        512 * 2**30,
        40 * 2**30,
        12e6,
        False,
        software,
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium; while it is there, no test of this process can run a loop of its own."""
    found = next((path for name in PROGRAMS if (path := shutil.which(name))), None)
    program = Path(found) if found else required_binary(PROGRAMS[0], "MODELCAST_CHROMIUM")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make test-real installs it")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def shown() -> Iterator[Shown]:
    dashboard = Shown()
    yield dashboard
    dashboard.stop()


@pytest.fixture
def look(browser: Any, shown: Shown) -> Iterator[Callable[..., Any]]:
    """Returns a function that opens a page; in the end nothing may have gone wrong in any of them."""
    wrong: list[str] = []
    contexts: list[Any] = []

    def open_page(
        path: str = "/", *, width: int = 1280, height: int = 900, dark: bool = False, context: Any = None
    ) -> Any:
        if context is None:
            context = browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme="dark" if dark else "light",
                locale="en-GB",
                timezone_id="Europe/Berlin",
            )
            contexts.append(context)
        page = context.new_page()
        page.on(
            "console", lambda said: wrong.append(f"console: {said.text}") if said.type in {"error", "warning"} else None
        )
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on(
            "request",
            lambda asked: (
                None if asked.url.startswith((shown.url, "data:", "blob:")) else wrong.append(f"external: {asked.url}")
            ),
        )
        page.goto(shown.url + path)
        page.wait_for_selector("main section, main p:not(:has-text('Loading'))")
        return page

    open_page.allow = wrong.clear  # type: ignore[attr-defined]
    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture
def keep(request: pytest.FixtureRequest) -> Callable[[Any, str], bytes]:
    """Returns a function that takes a screenshot, and keeps it where ``MODELCAST_SCREENSHOTS`` says."""

    def take(page: Any, name: str, *, full: bool = True) -> bytes:
        page.wait_for_timeout(400)  # the matrix is drawn after the page
        picture: bytes = page.screenshot(full_page=full)
        if SHOTS:
            (Path(SHOTS) / f"{name}.png").write_bytes(picture)
        return picture

    return take
