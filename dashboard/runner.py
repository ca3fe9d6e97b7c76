"""Runs the dashboard from its settings until it is stopped."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

from modelcast.dashboard.actions import CommandWriter
from modelcast.dashboard.dashboard import Dashboard
from modelcast.dashboard.groups import GroupReader, GroupsWatch
from modelcast.dashboard.sources.history_source import HistorySource
from modelcast.dashboard.sources.kafka_follower import KafkaFollower
from modelcast.dashboard.sources.log_reader import LogSource
from modelcast.dashboard.sources.news import NewsBatch
from modelcast.dashboard.sources.redis_poller import RedisPoller
from modelcast.dashboard.web.app import make_web_app, on_loopback
from modelcast.infra.settings import Settings
from modelcast.infra.settings_dashboard import DashboardSettings
from modelcast.schemas.errors import ModelcastError
from modelcast.schemas.statuses import Limits

CLOSE_SECONDS = 2.0

log = structlog.get_logger(__name__)


async def run_dashboard(settings: Settings, on_ready: Callable[[str], None] = lambda _url: None) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        settings: ``[dashboard]``, Kafka, Redis; the origin store for who and why.
        on_ready: called with the address once it is listened on.

    Raises:
        ModelcastError: the address can't be taken.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    here = settings.dashboard
    board = Dashboard(Limits(late_seconds=here.late_seconds))

    def from_thread(batch: NewsBatch) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(board.take, batch)

    follower = KafkaFollower(settings, from_thread)
    poller = RedisPoller(settings, board.take, lambda: not board.kafka_reads)
    groups = GroupsWatch(lambda: GroupReader(settings), board.hear_groups)
    runner = web.AppRunner(
        make_web_app(settings, board, LogSource(settings), groups, CommandWriter(settings), HistorySource(settings)),
        access_log=None,
        handle_signals=False,
        shutdown_timeout=CLOSE_SECONDS,
    )
    await runner.setup()
    try:
        url = await _listen(runner, here.host, here.port)
        follower.start()
        background = [
            asyncio.create_task(_forever(name, run))
            for name, run in (("board", board.run), ("redis", poller.run), ("groups", groups.run))
        ]
        log.info("the dashboard listens", url=url)
        if readable_by_all(here):
            hint = "set dashboard.read_tokens, or bind it to 127.0.0.1"
            log.warning("all who can reach this address can read the dashboard", host=here.host, hint=hint)
        on_ready(url)
        await stop.wait()
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
    finally:
        await runner.cleanup()
        await asyncio.to_thread(follower.close, CLOSE_SECONDS)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        log.info("the dashboard stopped")


def readable_by_all(settings: DashboardSettings) -> bool:
    """Whether other machines reach the dashboard, and nothing is asked of who reads it."""
    return not on_loopback(settings.host) and not settings.read_tokens


async def _listen(runner: web.AppRunner, host: str, port: int) -> str:
    try:
        await web.TCPSite(runner, host, port, backlog=1024).start()
    except OSError as error:  # a name that no one knows has no errno
        message = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise ModelcastError(
            f"can't listen: {message}", subject=f"{host}:{port}", hint="set MODELCAST_DASHBOARD__HOST and __PORT"
        ) from error
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{runner.addresses[0][1]}/"


async def _forever(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """Run a part again whenever it fails."""
    while True:
        try:
            await run()
        except Exception as error:
            log.exception("a part of the dashboard failed and is started again", part=name, error=repr(error))
        await asyncio.sleep(1.0)
