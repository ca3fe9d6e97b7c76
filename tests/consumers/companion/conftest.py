from collections.abc import AsyncIterator

import aiohttp
import pytest_asyncio

from tests.consumers.fetch.conftest import on_small_disk

__all__ = ["http", "on_small_disk"]


@pytest_asyncio.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=150)) as session:
        yield session
