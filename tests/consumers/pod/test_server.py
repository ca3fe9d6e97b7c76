"""A pod's process in this one: what its engine can't do at the start does not keep it from answering."""

import asyncio
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from modelcast.consumers.artifacts.sources import FolderArtifacts
from modelcast.consumers.pod.config import PodConfig
from modelcast.consumers.pod.server import serve_until
from modelcast.consumers.pod_clients.port import LoadFailed
from tests.consumers.pod.test_repository import Server


@pytest.mark.parametrize("fault", [LoadFailed("no room"), OSError(13, "Permission denied"), ValueError("no number")])
async def test_an_engine_that_does_not_start_leaves_no_pod_starting_for_ever(fault: Exception, tmp_path: Path) -> None:
    server = Server()
    server.faults["start"] = fault
    config = PodConfig("pod", "eu", "token", partial(FolderArtifacts, tmp_path), tmp_path / "state", grace_seconds=0.0)
    stop, port = asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve_until(stop, config, server, port.set_result))
    async with aiohttp.ClientSession() as http, asyncio.timeout(30):
        while (await http.get(f"http://127.0.0.1:{await port}/readyz")).status != 200:
            await asyncio.sleep(0.01)
    stop.set()
    await serving
