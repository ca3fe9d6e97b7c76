"""Where the screen gets what it shows: straight from Kafka and Redis, or from a dashboard's API."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Protocol

from pydantic import TypeAdapter

from modelcast.cli.top.shown import PROBLEMS_MAX, ModelShown, NowShown, grid_of, now_of
from modelcast.dashboard.dashboard import Dashboard
from modelcast.dashboard.groups import GroupReader, GroupsWatch
from modelcast.dashboard.sources.kafka_follower import KafkaFollower
from modelcast.dashboard.sources.news import NewsBatch
from modelcast.dashboard.sources.redis_poller import RedisPoller
from modelcast.dashboard.web.answers import Model, Problems, VerdictAnswer
from modelcast.dashboard.web.rows import model_line, pair_line
from modelcast.infra.settings import Settings
from modelcast.schemas.statuses import Limits, rank

SHOW_SECONDS = 0.25
"""Between two screens, however many changes come."""
RETRY_SECONDS = 2.0
CLOSE_SECONDS = 2.0
TELL_AGAIN_SECONDS = 5.0
FOREVER_US = 2**62

Tell = Callable[[NowShown | None, str], None]
"""What is to be shown (None: what was shown before), and why no more is known; "": all is."""


class Feed(Protocol):
    """A source of what is shown."""

    async def run(self, tell: Tell) -> None:
        """Tell what is shown now, and whenever it changes, until cancelled."""

    async def model(self, name: str) -> ModelShown | None:
        """One model; None: it is not known.

        Raises:
            ConnectionError: the source does not say.
        """


class DirectFeed:
    """Reads Kafka and Redis as a dashboard does, without serving any page.

    Args:
        settings: where they are.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._dashboard = Dashboard(Limits(late_seconds=settings.dashboard.late_seconds))

    async def run(self, tell: Tell) -> None:
        """See ``Feed``."""
        loop, board = asyncio.get_running_loop(), self._dashboard

        def from_thread(batch: NewsBatch) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(board.take, batch)

        follower = KafkaFollower(self._settings, from_thread)
        poller = RedisPoller(self._settings, board.take, lambda: not board.kafka_reads)
        follower.start()
        groups = GroupsWatch(lambda: GroupReader(self._settings), board.hear_groups)
        beside = [asyncio.create_task(run()) for run in (board.run, poller.run, groups.run)]
        try:
            now: NowShown | None = None
            while True:
                now = now_of(board, time.monotonic(), now)
                tell(now, "")
                await asyncio.sleep(SHOW_SECONDS)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            await asyncio.to_thread(follower.close, CLOSE_SECONDS)

    async def model(self, name: str) -> ModelShown | None:
        """See ``Feed``."""
        return model_of(self._dashboard, name)


def model_of(dashboard: Dashboard, name: str) -> ModelShown | None:
    """One model as a dashboard in this process shows it."""
    view = dashboard.overview.models.get(name)
    if view is None:
        return None
    pairs = sorted(
        view.pairs.values(), key=lambda p: (not p.counted, rank(p.status), p.since_us or FOREVER_US, p.row.region)
    )
    problems = tuple(p for p in dashboard.problems if name in {p.model, *p.models})
    return ModelShown(model_line(view), tuple(map(pair_line, pairs)), problems)


class ApiFeed:
    """Asks a dashboard's API, and again whenever its event stream tells of a change.

    Args:
        url: where the dashboard is, as in ``http://127.0.0.1:9470``.
        token: what it asks its readers for; "": nothing.
    """

    def __init__(self, url: str, token: str = "") -> None:
        self._base = f"{url.rstrip('/')}/api/v1"
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._before: NowShown | None = None

    async def run(self, tell: Tell) -> None:
        """See ``Feed``."""
        import aiohttp

        while True:
            try:
                await self._follow(tell)
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
                tell(None, f"{self._base}: {str(error) or type(error).__name__}")
            await asyncio.sleep(RETRY_SECONDS)

    async def model(self, name: str) -> ModelShown | None:
        """See ``Feed``."""
        import aiohttp

        try:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10), headers=self._headers) as session:
                found = await _read(session, f"{self._base}/models/{name}", Model)
        except aiohttp.ClientResponseError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise ConnectionError(f"{self._base}: {error}") from error
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise ConnectionError(f"{self._base}: {str(error) or type(error).__name__}") from error
        return ModelShown(found.model, found.regions, found.problems)

    async def _follow(self, tell: Tell) -> None:
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=3 * TELL_AGAIN_SECONDS)
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=self._headers) as session,
            session.get(f"{self._base}/events", headers={"Accept": "text/event-stream"}) as events,
        ):
            events.raise_for_status()
            while True:  # the stream says hello at once, and tells the time every few seconds
                line = await events.content.readline()
                if not line:
                    return
                if not line.startswith(b"event:"):
                    continue
                await asyncio.sleep(SHOW_SECONDS)
                _forget_waiting(events)
                self._before = await self._now(session)
                tell(self._before, "")

    async def _now(self, session: Any) -> NowShown:
        head = await _read(session, f"{self._base}/verdict", VerdictAnswer)
        revision, at = (head.boot, head.revision), time.monotonic()
        if self._before is not None and self._before.revision == revision:
            return replace(self._before, fresh=head.fresh, verdict=head.verdict, read_at=at)
        found = await _read(session, f"{self._base}/problems?limit={PROBLEMS_MAX}", Problems)
        async with session.get(f"{self._base}/grid") as answer:
            answer.raise_for_status()
            grid = grid_of(await answer.read())
        return NowShown(head.fresh, head.verdict, found.problems, found.total, grid, revision, at)


def _forget_waiting(events: Any) -> None:
    """What came meanwhile is in the answer that is asked for now."""
    events.content.read_nowait()


async def _read(session: Any, url: str, kind: type[Any]) -> Any:
    async with session.get(url) as answer:
        answer.raise_for_status()
        return TypeAdapter(kind).validate_json(await answer.read())
