"""A real pod swaps versions beside the one that serves, and gives up nothing for it."""

import asyncio
import os
import time
from dataclasses import dataclass, field

import aiohttp
import psutil
import pytest

from modelcast.consumers.pod_clients.port import LoadFailed, PodRefused
from modelcast.consumers.pod_clients.v2 import V2Pod
from tests.consumers.pod.asking import (
    MakePod,
    ask,
    begun,
    being_read,
    long_request,
    never_read,
    reader_of,
    value,
)
from tests.consumers.pod.models import adder, matmul, order, slow
from tests.consumers.pod.pod_process import TOKEN, PodProcess
from tests.support.lanes import SOAK, often
from tests.support.waiting import until_async

pytestmark = [pytest.mark.integration, pytest.mark.timeout(420)]
REST_SECONDS = 0.0 if SOAK else 0.01
"""Between two requests of a connection: without one, four of them take a core for themselves."""


@dataclass
class Traffic:
    """Asks all the time on a few connections; notes what failed and what was wrong."""

    pod: PodProcess
    adds: dict[str, float]
    sent: int = 0
    failed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    stop: bool = False

    async def run(self, http: aiohttp.ClientSession) -> None:
        while not self.stop:
            self.sent += 1
            try:
                status, headers, answer = await ask(http, self.pod)
            except (aiohttp.ClientError, OSError) as error:
                self.failed.append(repr(error))
                continue
            if status != 200:
                self.failed.append(f"{status} {answer}")
                continue
            version = answer["model_version"]
            self.seen.add(version)
            added = self.adds[version]
            if headers["modelcast-version"] != version or answer["outputs"][0]["data"] != [1 + added, 2 + added]:
                self.wrong.append(f"{dict(headers)} {answer}")
            await asyncio.sleep(REST_SECONDS)


async def test_versions_swap_under_load_without_a_failed_or_wrong_answer(
    pod: PodProcess, driver: V2Pod, http: aiohttp.ClientSession
) -> None:
    versions = {n: adder(100.0 * n) for n in range(1, often(12, 6) + 1)}
    for artifact in versions.values():
        artifact.put(pod.cache)
    await driver.load(order(versions[1], 1))
    traffic = Traffic(pod, {str(n): 100.0 * n for n in versions})
    clients = [asyncio.create_task(traffic.run(http)) for _ in range(4)]
    for n in range(2, len(versions) + 1):
        await driver.load(order(versions[n], n))
        assert (await driver.read("adder")).version == n
        before = traffic.sent
        await until_async(lambda before=before: traffic.sent > before + 20, "traffic goes on")  # type: ignore[misc]
    traffic.stop = True
    await asyncio.gather(*clients)
    assert not traffic.failed
    assert not traffic.wrong
    assert traffic.seen == {str(n) for n in versions}


async def test_a_request_in_flight_finishes_on_the_version_it_began_with(
    pod: PodProcess, driver: V2Pod, http: aiohttp.ClientSession
) -> None:
    old, new = slow(), adder(5)
    for artifact in (old, new):
        artifact.put(pod.cache)
    await driver.load(order(old, 1))
    old_worker = pod.serving_worker()
    request = asyncio.create_task(ask(http, pod, inputs=long_request()))
    await begun(pod, http)
    old_worker.suspend()  # so that the request outlasts the swap, however slow that is
    await driver.load(order(new, 2))
    assert await value(http, pod) == 5.0
    assert not request.done()
    old_worker.resume()
    status, headers, answer = await request
    assert (status, answer["model_version"], headers["modelcast-version"]) == (200, "1", "1")
    await until_async(lambda: not old_worker.is_running(), "the old worker ends")


async def test_a_swap_cuts_no_request_off_however_short_a_shutdown_may_be(
    make_pod: MakePod, http: aiohttp.ClientSession
) -> None:
    pod = make_pod("--drain-seconds", "0")
    driver = V2Pod("pod-a", pod.url, TOKEN)
    old, new = slow(), adder(5)
    for artifact in (old, new):
        artifact.put(pod.cache)
    await driver.load(order(old, 1))
    old_worker = pod.serving_worker()
    request = asyncio.create_task(ask(http, pod, inputs=long_request()))
    await begun(pod, http)
    old_worker.suspend()
    await driver.load(order(new, 2))
    assert not request.done()
    old_worker.resume()
    status, headers, _ = await request
    assert (status, headers["modelcast-version"]) == (200, "1")
    await driver.aclose()


@pytest.mark.soak
async def test_memory_after_twenty_reloads_is_at_most_a_fifth_above_that_after_the_first(
    pod: PodProcess, driver: V2Pod, http: aiohttp.ClientSession
) -> None:
    first, second = matmul(1, 1024, 2048), matmul(2, 1024, 2048)
    for artifact in (first, second):
        artifact.put(pod.cache)

    async def reloaded(n: int) -> int:
        await driver.load(order((first, second)[n % 2], n, model="matmul"))
        await until_async(lambda: len(pod.workers()) == 2, "one worker that serves, and one spare")
        readings: list[int] = []

        def settled() -> bool:  # the spare has done its imports
            readings.append(pod.rss_bytes())
            return len(readings) > 30 and max(readings[-20:]) - min(readings[-20:]) < 1024 * 1024

        await until_async(settled, "memory settles")
        return readings[-1]

    after_first = await reloaded(1)
    for n in range(2, 21):
        await driver.load(order((first, second)[n % 2], n, model="matmul"))
    assert await reloaded(21) <= 1.2 * after_first


async def test_the_same_bytes_under_a_newer_order_are_adopted_without_a_new_process(
    pod: PodProcess, driver: V2Pod
) -> None:
    artifact = adder(5)
    artifact.put(pod.cache)
    await driver.load(order(artifact, 7, generation=7))
    worker = pod.serving_worker()
    await driver.load(order(artifact, 7, generation=9, epoch=2))
    reading = await driver.read("adder")
    assert (reading.generation, reading.epoch, pod.serving_worker().pid) == (9, 2, worker.pid)
    await driver.load(order(artifact, 7, generation=10, epoch=2, reload=True))
    await until_async(lambda: not worker.is_running(), "a reload replaces the process")
    assert (await driver.read("adder")).generation == 10


async def test_a_newer_order_does_not_wait_for_an_older_one_that_hangs(
    pod: PodProcess, driver: V2Pod, http: aiohttp.ClientSession
) -> None:
    hangs, new = adder(1), adder(2)
    path = hangs.put(pod.cache) / "model.onnx"
    never_read(path)
    new.put(pod.cache)
    first = asyncio.create_task(driver.load(order(hangs, 1)))
    writer = await being_read(path)
    await driver.load(order(new, 2))
    os.close(writer)
    with pytest.raises(PodRefused) as caught:
        await first
    assert caught.value.code == "superseded"
    assert await value(http, pod) == 2.0


def nice_values(process: psutil.Process) -> list[int]:
    return sorted(os.getpriority(os.PRIO_PROCESS, thread.id) for thread in process.threads())


async def test_a_load_steps_back_but_what_serves_does_not(make_pod: MakePod) -> None:
    pod = make_pod("--load-nice", "7", "--run-threads", "3", "--intra-op-threads", "2")
    driver = V2Pod("pod-a", pod.url, TOKEN)
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    first, artifact = adder(1), matmul(1, 256, 256)
    first.put(pod.cache)
    await driver.load(order(first, 1))  # the first load disturbs nobody: it doesn't step back
    path = artifact.put(pod.cache) / "weights.bin"
    never_read(path)
    load = asyncio.create_task(driver.load(order(artifact, 1, model="m")))
    writer = await being_read(path)
    worker = await reader_of(path, pod)
    assert usual + 7 in nice_values(worker), "the thread that verifies"
    os.close(writer)
    with pytest.raises(LoadFailed):
        await load
    path.unlink()
    artifact.put(pod.cache)
    await driver.load(order(artifact, 1, model="m"))
    # Three that run requests and one of ONNX Runtime's pool, at least; what numpy keeps from the imports may be lower.
    await until_async(
        lambda: len([w for w in pod.workers() if nice_values(w).count(usual) >= 4]) == 2,
        "two workers serve, and nothing that serves stepped back",
    )
    await driver.aclose()


async def test_a_model_that_another_owner_orders_meanwhile_waits_for_its_turn_and_both_go_on_answering(
    pod: PodProcess, driver: V2Pod, http: aiohttp.ClientSession
) -> None:
    for model, artifact in (("adder", adder(1)), ("other", adder(2))):
        artifact.put(pod.cache)
        await driver.load(order(artifact, 1, model=model))
    held = adder(3).put(pod.cache) / "model.onnx"
    never_read(held)
    first = asyncio.create_task(driver.load(order(adder(3), 2)))
    end = await being_read(held)
    owner = V2Pod("pod-a", pod.url, TOKEN)
    adder(4).put(pod.cache)
    second = asyncio.create_task(owner.load(order(adder(4), 2, model="other", epoch=7)))
    until = time.monotonic() + 2.0
    while time.monotonic() < until:
        for model, adds in (("adder", 1.0), ("other", 2.0)):
            status, _, answer = await ask(http, pod, model)
            assert (status, answer["outputs"][0]["data"]) == (200, [1 + adds, 2 + adds])
    assert not second.done()
    os.close(end)
    with pytest.raises(LoadFailed):
        await first
    await second
    assert (await driver.read("other")).version == 2
    await owner.aclose()
