"""Asking a real pod, and knowing how far it has come."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import psutil

from modelcast.consumers.pod_clients.v2 import V2Pod
from tests.consumers.pod.pod_process import PodProcess
from tests.support.waiting import until_async

MakePod = Callable[..., PodProcess]


X = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 2.0]}


async def ask(http: aiohttp.ClientSession, pod: PodProcess, model: str = "adder", **body: Any) -> tuple[int, Any, Any]:
    async with http.post(f"{pod.url}/v2/models/{model}/infer", json=body or {"inputs": [X]}) as response:
        return response.status, response.headers, await response.json()


async def value(http: aiohttp.ClientSession, pod: PodProcess) -> float:
    """What the adder that serves adds."""
    status, _, answer = await ask(http, pod)
    assert status == 200, answer
    return float(answer["outputs"][0]["data"][0]) - 1.0


def long_request(steps: int = 10_000) -> list[dict[str, Any]]:
    """For ``slow``: a second or more of work."""
    return [
        {"name": "x", "datatype": "FP32", "shape": [1], "data": [1]},
        {"name": "steps", "datatype": "INT64", "shape": [1], "data": [steps]},
    ]


async def begun(pod: PodProcess, http: aiohttp.ClientSession, requests: int = 1) -> None:
    deadline = time.monotonic() + 90
    while True:
        async with http.get(f"{pod.url}/metrics") as response:
            if f"modelcast_pod_in_flight_requests {requests}.0" in await response.text():
                return
        assert time.monotonic() < deadline, "the request never began"
        await asyncio.sleep(0.005)


def never_read(path: Path) -> None:
    """Replace a file by a pipe that nobody writes: whoever opens it hangs."""
    path.unlink()
    os.mkfifo(path)


async def being_read(path: Path) -> int:
    """Wait until somebody reads the pipe; our end of it, so that the reader now waits for bytes."""
    deadline = time.monotonic() + 90
    while True:
        try:
            return os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            assert time.monotonic() < deadline, "nobody reads the file"
            await asyncio.sleep(0.005)


async def reader_of(path: Path, pod: PodProcess) -> psutil.Process:
    """The worker that has the file open."""
    found: list[psutil.Process] = []

    def one_has_it() -> bool:
        for worker in pod.workers():
            links = Path(f"/proc/{worker.pid}/fd").iterdir()
            found.extend(worker for link in links if os.path.realpath(link) == os.path.realpath(path))
        return bool(found)

    await until_async(one_has_it, "a worker opens the file")
    return found[0]


async def recorded_as_served(pod: PodProcess, generation: int) -> None:
    path = pod.home / "state" / "adder.json"

    def recorded() -> bool:
        served = orjson.loads(path.read_bytes())["served"]
        return served is not None and served["generation"] == generation

    await until_async(recorded, "the served order is on disk")


async def ready(driver: V2Pod, model: str = "adder") -> None:
    deadline = time.monotonic() + 90
    while not (await driver.read(model)).ready:
        assert time.monotonic() < deadline, "the pod never becomes ready"
        await asyncio.sleep(0.01)


async def serves(driver: V2Pod, version: int | None) -> None:
    deadline = time.monotonic() + 90
    while (await driver.read("adder")).version != version:
        assert time.monotonic() < deadline, f"version {version} is not served"
        await asyncio.sleep(0.01)
