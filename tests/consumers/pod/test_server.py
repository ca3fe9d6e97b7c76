"""A pod's process in this one: what its engine can't do at the start does not keep it from answering."""

import asyncio
import hashlib
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


async def test_metrics_ask_for_a_token_where_that_is_set_and_two_tokens_give_orders(tmp_path: Path) -> None:
    config = PodConfig(
        "pod", "eu", "new old", partial(FolderArtifacts, tmp_path), tmp_path / "state", grace_seconds=0.0,
        metrics_tokens=("sha256:" + hashlib.sha256(b"scrape").hexdigest(),),
    )  # fmt: skip
    stop, port = asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve_until(stop, config, Server(), port.set_result))
    async with aiohttp.ClientSession() as http, asyncio.timeout(30):
        url = f"http://127.0.0.1:{await port}"
        assert (await http.get(f"{url}/metrics")).status == 401
        assert (await http.get(f"{url}/metrics", headers={"Authorization": "Bearer scrape"})).status == 200
        assert (await http.get(f"{url}/livez")).status == 200
        for token, status in (("new", 400), ("old", 400), ("new old", 401), ("scrape", 401)):
            headers = {"Authorization": f"Bearer {token}"}
            asked = await http.post(f"{url}/v2/repository/models/m/load", data=b"{}", headers=headers)
            assert asked.status == status, token
    stop.set()
    await serving
