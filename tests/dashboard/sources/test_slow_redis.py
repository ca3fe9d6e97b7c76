"""A Redis that answers late, or not at all: what it holds is late or missing and said so, and nothing else waits."""

import asyncio
import socket
import threading
import time
from types import TracebackType
from urllib.parse import urlsplit

import pytest

from modelcast.dashboard import dashboard
from modelcast.dashboard.dashboard import Dashboard
from modelcast.dashboard.sources import pod_lists, redis_poller
from modelcast.dashboard.sources.news import NewsBatch, Reach
from modelcast.dashboard.sources.pod_lists import PodList, PodLists
from modelcast.dashboard.sources.redis_poller import RedisPoller
from modelcast.schemas.statuses import Limits
from tests.infra.test_redis_view import settings_for
from tests.support.network.tcp_front import CHUNK_BYTES, TcpFront


class LateRedis(TcpFront):
    """A server's answers, each of them that much later; without a server, no answer ever."""

    def __init__(self, late_seconds: float = 0.0, url: str = "") -> None:
        super().__init__()
        self.url = f"redis://127.0.0.1:{self.port}{urlsplit(url).path or '/0'}"
        self._late_seconds, self._server, self._over = late_seconds, urlsplit(url), threading.Event()

    def serve(self, connection: socket.socket) -> None:
        if not self._server.port:
            self._over.wait(60)
            return
        with socket.create_connection((self._server.hostname or "", self._server.port)) as server:
            while asked := connection.recv(CHUNK_BYTES):
                server.sendall(asked)
                answer = server.recv(CHUNK_BYTES)
                time.sleep(self._late_seconds)
                connection.sendall(answer)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        super().__exit__(kind, error, trace)


async def first_look(url: str, timeout_seconds: float) -> NewsBatch:
    """What the poller tells first of this Redis."""
    told: asyncio.Queue[NewsBatch] = asyncio.Queue()
    polling = asyncio.create_task(RedisPoller(settings_for(url, timeout_seconds), told.put_nowait, lambda: True).run())
    try:
        return await asyncio.wait_for(told.get(), 20)
    finally:
        polling.cancel()
        await asyncio.gather(polling, return_exceptions=True)


@pytest.mark.integration
async def test_a_redis_that_answers_late_is_read_and_said_to_be_slow(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_poller, "SLOW_SECONDS", 0.2)
    with LateRedis(0.25, redis_url) as late:
        look = await first_look(late.url, 10)
    assert look.reach is Reach.LIVE
    (missing,) = look.missing
    assert missing.startswith("Redis answers slowly, after ")


async def test_a_redis_that_does_not_answer_is_away_and_why_is_said() -> None:
    with LateRedis() as late:
        look = await first_look(late.url, 0.2)
    assert look.reach is Reach.AWAY
    assert "lists of pods and workers are not shown" in look.missing[0]


async def test_what_redis_told_of_a_tracker_long_ago_is_no_silence_of_the_tracker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    board = Dashboard(Limits())
    board.take(NewsBatch("redis", Reach.LIVE, tracker_seconds=0.5))
    assert board.freshness().tracker_seconds == 0.5
    monkeypatch.setattr(dashboard, "LOOK_SECONDS_MAX", 0.0)  # as if it had not answered for so long since
    assert board.freshness().tracker_seconds is None


async def test_many_who_look_at_pods_of_a_redis_that_hangs_delay_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod_lists, "WAIT_SECONDS_MAX", 0.2)
    with LateRedis() as late:
        source = PodLists(settings_for(late.url, 30))
        lists = await asyncio.gather(*(source.newest("fraud", f"r{n:02}") for n in range(40)))
        assert set(lists) == {PodList(error="Redis has not answered in 0.2 s")}
        began = time.monotonic()
        await asyncio.to_thread(time.monotonic)  # where logs, groups and histories are read
        assert time.monotonic() - began < 5
        source.close()
