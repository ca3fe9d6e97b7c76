"""Workers of a real pod die or hang; it puts back what it served."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import psutil
import pytest

from modelcast.consumers.pod_clients.port import LoadFailed, PodUnreachable
from modelcast.consumers.pod_clients.v2 import V2Pod
from tests.consumers.pod.asking import (
    MakePod,
    ask,
    begun,
    being_read,
    long_request,
    never_read,
    serves,
    value,
)
from tests.consumers.pod.models import adder, order, slow
from tests.consumers.pod.pod_process import TOKEN, PodProcess
from tests.support.waiting import until, until_async

pytestmark = [pytest.mark.integration, pytest.mark.timeout(420)]


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[PodProcess]:
    """No guard ends what it leaves behind."""
    pod = PodProcess(tmp_path, forked=False).start()
    yield pod
    pod.stop()


async def test_a_worker_that_was_killed_is_put_back(
    pod: PodProcess, driver: V2Pod, http: aiohttp.ClientSession
) -> None:
    artifact = adder(1)
    folder = artifact.put(pod.cache)
    await driver.load(order(artifact, 1))
    hidden = folder.parent.with_suffix(".hidden")
    folder.parent.rename(hidden)  # so that it can't be put back at once
    pod.serving_worker().kill()
    await serves(driver, None)
    reading = await driver.read("adder")
    assert (reading.ready, reading.version) == (False, None)
    status, _, answer = await ask(http, pod)
    assert (status, "put back" in answer["error"]) == (503, True)
    hidden.rename(folder.parent)
    await serves(driver, 1)
    assert (await driver.read("adder")).ready
    assert await value(http, pod) == 1.0


async def test_a_worker_that_keeps_dying_is_put_back_more_and_more_slowly(pod: PodProcess, driver: V2Pod) -> None:
    artifact = adder(1)
    folder = artifact.put(pod.cache)
    await driver.load(order(artifact, 1))
    folder.parent.rename(folder.parent.with_suffix(".hidden"))
    pod.serving_worker().kill()
    until(lambda: pod.log.read_text().count("load failed") >= 3, "three attempts")
    at = time.monotonic()
    until(lambda: pod.log.read_text().count("load failed") >= 6, "six attempts")
    assert time.monotonic() - at > 1.0  # 0.2 + 0.4 + 0.8 s, if none is left out


async def test_requests_in_flight_on_a_worker_that_dies_are_answered_with_503(
    pod: PodProcess, driver: V2Pod, http: aiohttp.ClientSession
) -> None:
    artifact = slow()
    artifact.put(pod.cache)
    await driver.load(order(artifact, 1))
    request = asyncio.create_task(ask(http, pod, inputs=long_request()))
    await begun(pod, http)
    pod.serving_worker().kill()
    status, _, answer = await request
    assert (status, "signal 9" in answer["error"]) == (503, True)
    await serves(driver, 1)


async def test_a_worker_that_is_stuck_is_replaced(make_pod: MakePod, http: aiohttp.ClientSession) -> None:
    pod = make_pod("--infer-seconds-max", "1", "--run-threads", "2")
    driver = V2Pod("pod-a", pod.url, TOKEN)
    slow().put(pod.cache)
    await driver.load(order(slow(), 1))
    endless = [ask(http, pod, inputs=long_request(10**12)) for _ in range(3)]
    assert {status for status, _, _ in await asyncio.gather(*endless)} <= {503, 504}
    await serves(driver, 1)
    deadline = time.monotonic() + 90
    while (await ask(http, pod, inputs=long_request(1)))[0] != 200:
        assert time.monotonic() < deadline, "it never answers again"
    await driver.aclose()


async def test_a_failed_load_while_the_old_version_lies_crashed_does_not_end_its_revival(
    pod: PodProcess, driver: V2Pod, http: aiohttp.ClientSession
) -> None:
    good, missing = adder(1), adder(2)
    folder = good.put(pod.cache)
    await driver.load(order(good, 1))
    hidden = folder.parent.with_suffix(".hidden")
    folder.parent.rename(hidden)
    pod.serving_worker().kill()
    await serves(driver, None)
    with pytest.raises(LoadFailed):
        await driver.load(order(missing, 2))
    hidden.rename(folder.parent)
    await serves(driver, 1)
    assert await value(http, pod) == 1.0


@pytest.mark.parametrize("loading", [False, True], ids=["at rest", "while it loads"])
async def test_a_pod_killed_outright_leaves_no_process(pod: PodProcess, driver: V2Pod, loading: bool) -> None:
    good, hangs = adder(1), adder(2)
    good.put(pod.cache)
    await driver.load(order(good, 1))
    await until_async(lambda: len(pod.workers()) == 2, "a spare")
    if loading:
        path = hangs.put(pod.cache) / "model.onnx"
        never_read(path)
        load = asyncio.create_task(driver.load(order(hangs, 2)))
        writer = await being_read(path)
    workers = pod.workers()
    pod.signal(signal.SIGKILL)
    pod.wait()
    if loading:
        with pytest.raises(PodUnreachable):
            await load
        os.close(writer)
    _, alive = psutil.wait_procs(workers, timeout=90)
    assert not alive
