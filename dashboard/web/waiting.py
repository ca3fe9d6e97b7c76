"""``/api/v1/wait/{model}/{version}``: events that end once enough regions have the version, or never will."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial

from aiohttp import ClientConnectionResetError, web

from modelcast.dashboard.dashboard import Dashboard
from modelcast.dashboard.web.api import BASE
from modelcast.dashboard.web.events import HEADERS, write_frame
from modelcast.producers.planning.convergence import Convergence, Level, convergence_of, lateness, level_of
from modelcast.schemas.errors import ModelcastError, UsageError
from modelcast.schemas.names import check_model, check_version
from modelcast.schemas.records import VersionState

TIMEOUT_SECONDS, TIMEOUT_SECONDS_MAX = 300.0, 3600.0
ALIVE_SECONDS = 15.0
"""How often a line is sent where nothing changes: proxies close what is quiet."""


@dataclass(frozen=True, slots=True)
class WaitNews:
    """One event of the stream. It ends after any but ``waiting``.

    Attributes:
        model: the model waited for.
        version: the version waited for.
        outcome: ``waiting``, ``reached``, ``refused`` (a region has quarantined it), ``superseded``, ``unsupported``
            (no pod that is missing can load it) or ``timeout``.
        there: regions that have it.
        missing: those that count and have it not, each with why.
        refused: those that refuse it, each with why.
        age_seconds: since the tracker last told of the model; None: it never has.
        late: why that is how things were, and decides nothing; "": it is of now.
    """

    model: str
    version: int
    outcome: str
    there: tuple[str, ...]
    missing: tuple[str, ...]
    refused: tuple[str, ...]
    age_seconds: float | None
    late: str


class Waits:
    """The stream's handler.

    Args:
        board: what is shown.
        watchers_max: how many may wait at once.
    """

    def __init__(self, board: Dashboard, watchers_max: int) -> None:
        self._board, self._watchers_max = board, watchers_max
        self._tasks: set[asyncio.Task[None]] = set()

    def routes(self) -> list[web.RouteDef]:
        """Paths and handlers."""
        return [web.get(BASE + "/wait/{model}/{version}", self.wait)]

    async def wait(self, request: web.Request) -> web.StreamResponse:
        """How far regions have come with a version, whenever that changes, until it is decided."""
        model, version = (
            check_model(request.match_info["model"]),
            check_version(_whole(request.match_info["version"], "version")),
        )
        level, seconds = level_of(request.query.get("level", "all")), _seconds(request.query.get("timeout"))
        generation = _whole(request.query.get("generation", "0"), "generation")
        with self._one_more():
            response = web.StreamResponse(headers=HEADERS)
            with suppress(ClientConnectionResetError, ConnectionResetError, asyncio.CancelledError):
                await response.prepare(request)
                await self._follow(response, seconds, partial(self._found, model, version, level, generation))
        return response

    async def close(self, _app: web.Application) -> None:
        """End every stream: who still waits asks again."""
        for task in tuple(self._tasks):
            task.cancel()

    @contextmanager
    def _one_more(self) -> Iterator[None]:
        task = asyncio.current_task()
        assert task is not None
        if len(self._tasks) >= self._watchers_max:
            raise ModelcastError(
                "too many wait already", subject=str(self._watchers_max), hint="dashboard.watchers_max"
            )
        self._tasks.add(task)
        try:
            yield
        finally:
            self._tasks.discard(task)

    async def _follow(self, response: web.StreamResponse, seconds: float, look: Callable[[], WaitNews]) -> None:
        loop, stream = asyncio.get_running_loop(), self._board.stream
        deadline, told = loop.time() + seconds, None
        with self._board.listening(look().model) as news:
            while True:
                news.clear()
                found = look()
                left = deadline - loop.time()
                if found.outcome == "waiting" and left <= 0:
                    found = replace(found, outcome="timeout")
                if told is None or _without_ages(found) != _without_ages(told):
                    told = found
                    await write_frame(response, stream.frame(found.outcome, found))
                if found.outcome != "waiting":
                    return
                try:
                    async with asyncio.timeout(min(left, ALIVE_SECONDS)):
                        await news.wait()
                except TimeoutError:
                    await write_frame(response, b": still waiting\n\n")

    def _found(self, model: str, version: int, level: Level, generation: int) -> WaitNews:
        view = self._board.overview.models.get(model)
        state: VersionState | None = None
        age_seconds, late = None, ""
        if view is not None:
            state = replace(view.state, regions=tuple(pair.row for pair in view.pairs.values()))
            age_seconds = max(0, time.time_ns() // 1000 - view.appended_us) / 1_000_000
            late = lateness(state, age_seconds)
        found = convergence_of(state, version, level, generation=generation)
        outcome = "waiting" if late else _outcome(found)
        return WaitNews(model, version, outcome, found.there, found.laggards, found.quarantined, age_seconds, late)


def _without_ages(news: WaitNews) -> WaitNews:
    return replace(news, age_seconds=None, late="late" if news.late else "")


def _outcome(found: Convergence) -> str:
    if found.quarantined:
        return "refused"
    if found.reached:
        return "reached"
    if found.unsupported:
        return "unsupported"
    return "superseded" if found.superseded else "waiting"


def _whole(text: str, subject: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise UsageError(f"{text[:40]!r} is no whole number", subject=subject, hint="as in 7")
    return int(text)


def _seconds(text: str | None) -> float:
    try:
        seconds = TIMEOUT_SECONDS if text is None else float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= TIMEOUT_SECONDS_MAX:
        raise UsageError(
            f"{(text or '')[:40]!r} is no time to wait", subject="timeout", hint=f"seconds, to {TIMEOUT_SECONDS_MAX:g}"
        )
    return seconds
