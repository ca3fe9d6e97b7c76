"""A real pod starts, comes back, drains and ends."""

import asyncio
import signal
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import psutil
import pytest

from modelcast.consumers.pod_clients.port import PodUnreachable
from modelcast.consumers.pod_clients.v2 import V2Pod
from tests.consumers.pod.asking import (
    MakePod,
    ask,
    begun,
    long_request,
    ready,
    recorded_as_served,
    value,
)
from tests.consumers.pod.models import adder, order, slow
from tests.consumers.pod.pod_process import TOKEN, PodProcess

pytestmark = [pytest.mark.integration, pytest.mark.timeout(420)]


async def test_a_pod_comes_up_with_what_the_region_wants_and_is_ready_only_then(
    tmp_path: Path, make_pod: MakePod, http: aiohttp.ClientSession
) -> None:
    good, missing = adder(1), adder(2)
    good.put(tmp_path / "cache")
    wanted = [order(good, 1), order(missing, 3, model="gone")]
    (tmp_path / "aspired.json").write_bytes(orjson.dumps([asdict(o) for o in wanted]))
    pod = make_pod("--aspired", str(tmp_path / "aspired.json"))
    driver = V2Pod("pod-a", pod.url, TOKEN)
    await ready(driver, "any")
    assert (await driver.read("adder")).version == 1
    assert await value(http, pod) == 1.0
    async with http.post(f"{pod.url}/v2/repository/index") as response:
        rows = {row["name"]: row for row in await response.json()}
    assert rows["gone"]["state"] == "UNAVAILABLE"
    assert "no such artifact" in rows["gone"]["reason"]
    status, body = await readiness(http, pod)
    assert (status, body["phase"], body["lacking"]) == (503, "incomplete", ["gone"])
    assert (await driver.read("adder")).ready  # this model's answers stand for themselves
    missing.put(tmp_path / "cache")
    await driver.load(order(missing, 3, model="gone"))  # the region orders what could not be restored
    await until_ready(http, pod)
    await driver.aclose()


async def readiness(http: aiohttp.ClientSession, pod: PodProcess) -> tuple[int, dict[str, Any]]:
    async with http.get(f"{pod.url}/readyz") as response:
        return response.status, await response.json()


async def until_ready(http: aiohttp.ClientSession, pod: PodProcess) -> None:
    deadline = time.monotonic() + 90
    while (await readiness(http, pod))[0] != 200:
        assert time.monotonic() < deadline, "the pod never becomes ready"
        await asyncio.sleep(0.01)


async def test_a_new_pod_that_can_not_learn_what_is_wanted_takes_no_traffic_and_obeys(
    tmp_path: Path, make_pod: MakePod, http: aiohttp.ClientSession
) -> None:
    pod = make_pod("--aspired", str(tmp_path / "aspired.json"))
    driver = V2Pod("pod-a", pod.url, TOKEN)
    await ready(driver, "any")  # it has restored what it could: nothing
    status, body = await readiness(http, pod)
    assert (status, body["phase"]) == (503, "incomplete")
    good = adder(1)
    good.put(pod.cache)
    await driver.load(order(good, 1))
    assert (await driver.read("adder")).ready
    assert (await readiness(http, pod))[0] == 503
    (tmp_path / "aspired.json").write_bytes(orjson.dumps([asdict(order(good, 1))]))
    await until_ready(http, pod)
    await driver.aclose()


async def test_a_pod_that_can_not_learn_what_is_wanted_serves_what_it_served(
    tmp_path: Path, make_pod: MakePod, http: aiohttp.ClientSession
) -> None:
    pod = make_pod()
    good = adder(1)
    good.put(pod.cache)
    driver = V2Pod("pod-a", pod.url, TOKEN)
    await driver.load(order(good, 1))
    await recorded_as_served(pod, 1)
    await driver.aclose()
    pod.signal(signal.SIGTERM)
    pod.wait()
    pod = make_pod("--aspired", str(tmp_path / "nowhere.json"))
    driver = V2Pod("pod-a", pod.url, TOKEN)
    assert not (await driver.read("adder")).ready
    await ready(driver)
    assert await value(http, pod) == 1.0
    await until_ready(http, pod)
    await driver.aclose()


async def test_a_pod_goes_where_the_region_went_while_it_was_away(
    tmp_path: Path, make_pod: MakePod, http: aiohttp.ClientSession
) -> None:
    pod = make_pod()
    old, new = adder(1), adder(2)
    for artifact in (old, new):
        artifact.put(pod.cache)
    driver = V2Pod("pod-a", pod.url, TOKEN)
    await driver.load(order(old, 1))
    await recorded_as_served(pod, 1)
    await driver.aclose()
    pod.signal(signal.SIGTERM)
    pod.wait()
    (tmp_path / "aspired.json").write_bytes(orjson.dumps([asdict(order(new, 2))]))
    pod = make_pod("--aspired", str(tmp_path / "aspired.json"))
    driver = V2Pod("pod-a", pod.url, TOKEN)
    await ready(driver)
    assert await value(http, pod) == 2.0
    await driver.aclose()


async def test_sigterm_drains(make_pod: MakePod, http: aiohttp.ClientSession) -> None:
    pod = make_pod("--grace-seconds", "5.0", "--drain-seconds", "120")
    driver = V2Pod("pod-a", pod.url, TOKEN)
    for artifact, model in ((slow(), "slow"), (adder(1), "adder")):
        artifact.put(pod.cache)
        await driver.load(order(artifact, 1, model=model))
    request = asyncio.create_task(ask(http, pod, "slow", inputs=long_request()))
    await begun(pod, http)
    busy = pod.serving_worker()
    busy.suspend()  # so that its request outlasts the grace period
    for worker in pod.workers():
        worker.terminate()  # as systemd does to a whole group: only the front may act on it
    pod.signal(signal.SIGTERM)

    async def readyz() -> int:
        async with http.get(f"{pod.url}/readyz") as response:
            return response.status

    deadline = time.monotonic() + 90
    while await readyz() != 503:
        assert time.monotonic() < deadline
    status, headers, _ = await ask(http, pod)
    assert (status, headers["connection"], headers["modelcast-ready"]) == (200, "close", "false")
    with pytest.raises(PodUnreachable):
        await driver.load(order(adder(1), 1, generation=9))
    while (answer := await ask(http, pod))[0] == 200:
        assert time.monotonic() < deadline
    assert (answer[0], answer[1]["connection"]) == (503, "close")
    assert not request.done()
    busy.resume()
    assert (await request)[0] == 200
    workers = pod.workers() if not pod.ended else []
    assert pod.wait() == 0
    assert not psutil.wait_procs(workers, timeout=90)[1]
    await driver.aclose()


async def test_a_request_that_never_ends_is_cut_off(make_pod: MakePod, http: aiohttp.ClientSession) -> None:
    pod = make_pod("--grace-seconds", "0.1", "--drain-seconds", "0.5")
    driver = V2Pod("pod-a", pod.url, TOKEN)
    slow().put(pod.cache)
    await driver.load(order(slow(), 1, model="slow"))
    request = asyncio.create_task(ask(http, pod, "slow", inputs=long_request(10**9)))
    await begun(pod, http)
    pod.signal(signal.SIGTERM)
    assert pod.wait() == 0
    with pytest.raises((aiohttp.ClientError, AssertionError)):
        assert (await request)[0] == 200
    await driver.aclose()


def test_a_pod_without_a_token_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("\n")
    with pytest.raises(AssertionError, match="needs its region's token"):
        PodProcess(tmp_path, "--token-file", str(tmp_path / "token")).start()
