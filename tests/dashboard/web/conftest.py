"""A dashboard over a board that a test fills, without Kafka and Redis."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp.test_utils import TestClient, TestServer

from modelcast.dashboard.actions import CommandWriter
from modelcast.dashboard.dashboard import Dashboard
from modelcast.dashboard.groups import GroupReader, GroupsWatch
from modelcast.dashboard.sources.history_source import HistorySource
from modelcast.dashboard.sources.log_reader import LogSource
from modelcast.dashboard.sources.news import NewsBatch, Reach, SeenState
from modelcast.dashboard.web.app import make_web_app
from modelcast.infra.settings import DaemonSettings, RedisSettings, Settings
from modelcast.infra.settings_dashboard import DashboardSettings
from modelcast.infra.stores import MemoryStore
from modelcast.schemas.records import VersionState
from modelcast.schemas.statuses import Limits
from tests.producers.fakes import SETTINGS, Heard

Client = TestClient
"""pytest must not take it for a class of tests."""


def nowhere() -> Settings:
    """Settings with no Redis that answers."""
    return Settings(redis=RedisSettings(url="redis://127.0.0.1:1/0", timeout_seconds=0.2))  # type: ignore[arg-type]


def said(board: Dashboard, *states: VersionState, reach: Reach = Reach.LIVE) -> None:
    """The tracker says these states now."""
    now_us = time.time_ns() // 1000
    board.take(NewsBatch("kafka", reach, tuple(SeenState(each.model, each, now_us) for each in states)))
    board.flush()


@pytest.fixture
def board() -> Dashboard:
    return Dashboard(Limits())


@pytest.fixture
def groups() -> GroupsWatch:
    """What is known of consumer groups, for a test to fill; nobody looks."""
    return GroupsWatch(lambda: GroupReader(nowhere()))


@pytest.fixture
def origin() -> MemoryStore:
    """The origin that commands are written to."""
    return MemoryStore()


@pytest.fixture
def commands(origin: MemoryStore) -> CommandWriter:
    """Writes into ``origin``, and announces to nobody."""
    return CommandWriter(SETTINGS, store=origin, announcer=Heard())


@pytest.fixture
async def serve(
    groups: GroupsWatch, commands: CommandWriter, origin: MemoryStore
) -> AsyncIterator[Callable[..., Awaitable[Client]]]:
    """Returns a function that serves a board and gives a client of it."""
    clients: list[Client] = []

    async def make(board: Dashboard, metrics_tokens: tuple[str, ...] = (), **changes: object) -> Client:
        daemon = DaemonSettings(metrics_tokens=metrics_tokens)
        shown = DashboardSettings(**changes)  # type: ignore[arg-type]
        settings = nowhere().model_copy(update={"dashboard": shown, "daemon": daemon})
        client = TestClient(
            TestServer(
                make_web_app(settings, board, LogSource(settings), groups, commands, HistorySource(settings, origin))
            )
        )
        await client.start_server()
        clients.append(client)
        return client

    yield make
    for client in clients:
        await client.close()
