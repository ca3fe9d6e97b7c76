from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from modelcast.consumers.pod_clients.v2 import V2Pod
from tests.consumers.pod.pod_process import TOKEN, PodProcess


@pytest.fixture
def make_pod(tmp_path: Path) -> Iterator[Callable[..., PodProcess]]:
    """Starts pods; the same state folder each time, so that a second one is the first restarted."""
    started: list[PodProcess] = []

    def make(*options: str) -> PodProcess:
        pod = PodProcess(tmp_path, *options).start()
        started.append(pod)
        return pod

    yield make
    for pod in started:
        pod.stop()


@pytest.fixture
def pod(make_pod: Callable[..., PodProcess]) -> PodProcess:
    return make_pod()


@pytest_asyncio.fixture
async def driver(pod: PodProcess) -> AsyncIterator[V2Pod]:
    driver = V2Pod("pod-a", pod.url, TOKEN)
    yield driver
    await driver.aclose()


@pytest_asyncio.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=150)) as session:
        yield session
