"""Two real MLServers behind a router that follows their companions' readiness: a rollover drops and delays nothing.

An MLServer answers nothing while it loads. So its companion says that it is not ready, waits, and loads only then.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from modelcast.consumers.pod_clients.v2 import V2Pod
from tests.consumers.companion.asked import QUESTION
from tests.consumers.companion.companion_process import CompanionProcess
from tests.consumers.companion.engines.test_mlserver import MLServer
from tests.consumers.pod.models import order
from tests.consumers.pod.pod_process import TOKEN
from tests.support.waiting import until_async

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]
LATE_SECONDS = 3.0  # a request that takes longer has failed; the load of a slow version takes four
RATE_PER_SECOND = 20.0


class Member:
    """A server and the companion beside it."""

    def __init__(self, home: Path, workers: int) -> None:
        home.mkdir()
        self.server = MLServer(home, workers)
        self.companion = CompanionProcess(home, *self.server.options)
        self.driver: V2Pod | None = None
        self.ready = False

    def start(self) -> "Member":
        self.server.start()
        self.companion.start()
        self.driver = V2Pod("companion", self.companion.url, TOKEN)
        return self

    async def takes(self, version: int, *, slow: bool = False) -> None:
        assert self.driver is not None
        artifact = self.server.slow(version) if slow else self.server.artifact(version)
        artifact.put(self.companion.cache)
        await self.driver.load(order(artifact, version))

    async def stop(self) -> None:
        if self.driver is not None:
            await self.driver.aclose()
        self.companion.stop()
        self.server.kill()


class Router:
    """Sends each request to one of the members that are ready, in turn."""

    def __init__(self, members: list[Member], http: aiohttp.ClientSession) -> None:
        self._members, self._http = members, http
        self.failed: list[str] = []
        self.answers: list[int] = []
        self._turn = 0

    async def follow(self) -> None:
        while True:
            for member in self._members:
                async with self._http.get(f"{member.companion.url}/readyz") as response:
                    member.ready = response.status == 200
            await asyncio.sleep(0.05)

    async def traffic(self) -> None:
        """An open loop: a late answer makes no later question."""
        async with asyncio.TaskGroup() as asked:
            due = time.monotonic()
            with suppress(asyncio.CancelledError):
                while True:
                    due += 1 / RATE_PER_SECOND
                    await asyncio.sleep(due - time.monotonic())
                    asked.create_task(self._one())

    async def _one(self) -> None:
        self._turn += 1
        ready = [member for member in self._members if member.ready]
        if not ready:
            self.failed.append("no server is ready")
            return
        try:
            async with asyncio.timeout(LATE_SECONDS):
                self.answers.append(await asked(ready[self._turn % len(ready)], self._http))
        except Exception as error:
            self.failed.append(repr(error))


async def asked(member: Member, http: aiohttp.ClientSession) -> int:
    async with http.post(f"{member.server.url}/v2/models/adder/infer", json=QUESTION) as response:
        body = await response.json()
        assert response.status == 200, body
        return int(body["outputs"][0]["data"][0])


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[list[Member]]:
    """One MLServer in one process, one with a worker."""
    members = [Member(tmp_path / name, workers) for name, workers in (("a", 0), ("b", 1))]
    with ThreadPoolExecutor() as threads:
        list(threads.map(Member.start, members))
    yield members
    for member in members:
        asyncio.run(member.stop())


@pytest_asyncio.fixture
async def router(pair: list[Member], http: aiohttp.ClientSession) -> AsyncIterator[Router]:
    made = Router(pair, http)
    following = asyncio.create_task(made.follow())
    yield made
    following.cancel()


async def test_a_rollover_from_server_to_server_drops_and_delays_no_request(
    pair: list[Member], router: Router, http: aiohttp.ClientSession
) -> None:
    for member in pair:
        await member.takes(1)
    await until_async(lambda: all(member.ready for member in pair), "both are ready")
    traffic = asyncio.create_task(router.traffic())
    longest: list[float] = []
    for member in pair:  # one after the other: a region keeps half of those whose swap has a gap
        await until_async(lambda: all(each.ready for each in pair), "both are ready")
        load = asyncio.create_task(member.takes(2, slow=True))
        seconds = [0.0]
        while not load.done():
            began = time.monotonic()
            await asked(member, http)
            seconds.append(time.monotonic() - began)
        await load
        longest.append(max(seconds))
    await until_async(lambda: all(member.ready for member in pair), "both are ready")
    before = len(router.answers)
    await until_async(lambda: len(router.answers) > before + 20, "traffic goes on")
    traffic.cancel()
    await traffic
    assert router.failed == []
    assert set(router.answers) == {1, 2}
    assert set(router.answers[-10:]) == {2}
    assert min(longest) > LATE_SECONDS - 1.0, "who asks the server that loads waits for it"
