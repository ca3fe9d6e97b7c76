"""What a real pod refuses, and what it goes on serving meanwhile."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from modelcast.consumers.pod_clients.port import LoadFailed, PodRefused
from modelcast.consumers.pod_clients.v2 import V2Pod
from tests.consumers.pod.asking import (
    MakePod,
    ask,
    being_read,
    never_read,
    reader_of,
    ready,
    recorded_as_served,
    value,
)
from tests.consumers.pod.models import Artifact, adder, order
from tests.consumers.pod.pod_process import TOKEN, PodProcess
from tests.support.waiting import until_async

pytestmark = [pytest.mark.integration, pytest.mark.timeout(420)]


async def test_a_stale_pair_is_refused_and_changes_nothing(
    pod: PodProcess, driver: V2Pod, http: aiohttp.ClientSession
) -> None:
    old, new = adder(1), adder(2)
    for artifact in (old, new):
        artifact.put(pod.cache)
    await driver.load(order(new, 2, generation=5, epoch=3))
    for generation, epoch in ((4, 3), (99, 2)):
        with pytest.raises(PodRefused) as caught:
            await driver.load(order(old, 1, generation=generation, epoch=epoch))
        assert caught.value.code == "stale"
        with pytest.raises(PodRefused):
            await driver.unload("adder", generation=generation, epoch=epoch)
    assert await value(http, pod) == 2.0


async def test_a_restarted_pod_refuses_what_it_refused_before_and_serves_what_it_served(
    make_pod: MakePod, http: aiohttp.ClientSession
) -> None:
    old, new = adder(1), adder(2)
    pod = make_pod()
    for artifact in (old, new):
        artifact.put(pod.cache)
    driver = V2Pod("pod-a", pod.url, TOKEN)
    await driver.load(order(new, 2, generation=5, epoch=3))
    before = await driver.read("adder")
    await recorded_as_served(pod, 5)
    pod.signal(signal.SIGKILL)
    pod.wait()
    await driver.aclose()
    pod = make_pod()
    driver = V2Pod("pod-a", pod.url, TOKEN)
    await ready(driver)
    for generation, epoch in ((4, 3), (99, 2)):
        with pytest.raises(PodRefused) as caught:
            await driver.load(order(old, 1, generation=generation, epoch=epoch))
        assert caught.value.code == "stale"
    after = await driver.read("adder")
    assert (after.version, after.generation, after.epoch) == (2, 5, 3)
    assert after.incarnation != before.incarnation
    assert await value(http, pod) == 2.0
    await driver.aclose()


async def test_a_pod_that_restarts_after_a_failed_load_serves_what_it_served_and_still_refuses_the_past(
    make_pod: MakePod, http: aiohttp.ClientSession
) -> None:
    good, missing = adder(1), adder(2)
    pod = make_pod()
    good.put(pod.cache)
    driver = V2Pod("pod-a", pod.url, TOKEN)
    await driver.load(order(good, 1))
    await recorded_as_served(pod, 1)
    with pytest.raises(LoadFailed):
        await driver.load(order(missing, 2))
    pod.signal(signal.SIGKILL)
    pod.wait()
    await driver.aclose()
    pod = make_pod()
    driver = V2Pod("pod-a", pod.url, TOKEN)
    await ready(driver)
    assert await value(http, pod) == 1.0
    with pytest.raises(PodRefused):
        await driver.load(order(good, 1))
    await driver.aclose()


async def test_a_foreign_registry_is_refused(pod: PodProcess, driver: V2Pod, http: aiohttp.ClientSession) -> None:
    mine, theirs = adder(1), adder(2)
    for artifact in (mine, theirs):
        artifact.put(pod.cache)
    await driver.load(order(mine, 1))
    with pytest.raises(PodRefused) as caught:
        await driver.load(order(theirs, 2, registry="another", epoch=9))
    assert caught.value.code == "foreign_registry"
    assert await value(http, pod) == 1.0


@pytest.mark.parametrize("token", ["", "wrong", TOKEN + "x", TOKEN[:-1], "tökén"])
async def test_without_the_regions_token_nothing_is_loaded_or_unloaded(
    pod: PodProcess, driver: V2Pod, http: aiohttp.ClientSession, token: str
) -> None:
    artifact = adder(1)
    artifact.put(pod.cache)
    await driver.load(order(artifact, 1))
    body = {"parameters": {"modelcast_epoch": 9, "modelcast_generation": 9}}
    for verb in ("load", "unload"):
        for headers in ({"Authorization": f"Bearer {token}"}, {}):
            url = f"{pod.url}/v2/repository/models/adder/{verb}"
            async with http.post(url, json=body, headers=headers) as response:
                assert response.status == 401
    intruder = V2Pod("pod-a", pod.url, "wrong")
    with pytest.raises(PodRefused) as caught:
        await intruder.load(order(artifact, 1, generation=9))
    assert caught.value.code == "unauthorized"
    await intruder.aclose()
    assert (await driver.read("adder")).generation == 1


def flip_a_byte(folder: Path) -> None:
    data = bytearray((folder / "model.onnx").read_bytes())
    data[-20] ^= 0x10
    (folder / "model.onnx").write_bytes(data)


def add_a_file(folder: Path) -> None:
    (folder / "extra.bin").write_bytes(b"x")


def remove_everything(folder: Path) -> None:
    (folder / "model.onnx").unlink()
    (folder.parent / "manifest.json").unlink()


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (flip_a_byte, "verification_failed"),
        (add_a_file, "verification_failed"),
        (remove_everything, "artifact_missing"),
    ],
)
async def test_damaged_bytes_are_refused_and_the_old_version_keeps_serving(
    pod: PodProcess, driver: V2Pod, http: aiohttp.ClientSession, damage: Callable[[Path], None], code: str
) -> None:
    good, bad = adder(1), adder(2)
    good.put(pod.cache)
    await driver.load(order(good, 1))
    damage(bad.put(pod.cache))
    with pytest.raises(LoadFailed) as caught:
        await driver.load(order(bad, 2))
    assert caught.value.code == code
    reading = await driver.read("adder")
    assert (reading.version, reading.generation, reading.manifest_digest) == (1, 1, good.digest)
    assert await value(http, pod) == 1.0
    bad.put(pod.cache)  # mended: the same order may be given again
    for leftover in (pod.cache / bad.digest[7:] / "files").glob("extra.bin"):
        leftover.unlink()
    await driver.load(order(bad, 2))
    assert await value(http, pod) == 2.0


async def test_a_file_that_is_no_model_leaves_the_old_version_serving(
    pod: PodProcess, driver: V2Pod, http: aiohttp.ClientSession
) -> None:
    good, garbage = adder(1), Artifact({"model.onnx": b"\x08\x07 not a model" * 99})
    for artifact in (good, garbage):
        artifact.put(pod.cache)
    await driver.load(order(good, 1))
    with pytest.raises(LoadFailed, match="can't load") as caught:
        await driver.load(order(garbage, 2))
    assert caught.value.code == "load_failed"
    assert await value(http, pod) == 1.0


async def test_a_format_that_this_pod_does_not_serve_is_no_fault_of_the_version(
    pod: PodProcess, driver: V2Pod, http: aiohttp.ClientSession
) -> None:
    good, trees = adder(1), Artifact({"model.json": b"{}"})
    for artifact in (good, trees):
        artifact.put(pod.cache)
    await driver.load(order(good, 1))
    with pytest.raises(LoadFailed, match="this pod serves ONNX") as caught:
        await driver.load(order(trees, 2))
    assert caught.value.code == "unsupported"
    assert await value(http, pod) == 1.0


async def test_an_order_that_is_not_understood_is_refused_and_no_fault_of_the_version(
    pod: PodProcess, driver: V2Pod
) -> None:
    with pytest.raises(PodRefused, match="modelcast_version") as caught:
        await driver.load(order(adder(1), -1))
    assert caught.value.code == "request_refused"


async def test_a_load_that_kills_its_process_leaves_the_old_version_serving(
    pod: PodProcess, driver: V2Pod, http: aiohttp.ClientSession
) -> None:
    good, deadly = adder(1), adder(2)
    good.put(pod.cache)
    await driver.load(order(good, 1))
    serving = pod.serving_worker()
    path = deadly.put(pod.cache) / "model.onnx"
    never_read(path)
    load = asyncio.create_task(driver.load(order(deadly, 2)))
    writer = await being_read(path)
    (await reader_of(path, pod)).kill()
    with pytest.raises(LoadFailed, match="signal 9") as caught:
        await load
    os.close(writer)
    assert caught.value.code == "load_crashed"
    assert (await value(http, pod), pod.serving_worker().pid) == (1.0, serving.pid)


async def test_a_load_that_takes_too_long_is_given_up(make_pod: MakePod, http: aiohttp.ClientSession) -> None:
    pod = make_pod("--load-seconds-max", "8")
    driver = V2Pod("pod-a", pod.url, TOKEN)
    good, hangs = adder(1), adder(2)
    good.put(pod.cache)
    await driver.load(order(good, 1))
    never_read(hangs.put(pod.cache) / "model.onnx")
    with pytest.raises(LoadFailed) as caught:
        await driver.load(order(hangs, 2))
    assert caught.value.code == "load_timeout"
    assert await value(http, pod) == 1.0
    await until_async(lambda: len(pod.workers()) == 2, "the hanging worker is gone")
    await driver.aclose()


async def test_an_unloaded_model_is_gone_and_its_process_too(
    pod: PodProcess, driver: V2Pod, http: aiohttp.ClientSession
) -> None:
    artifact = adder(1)
    artifact.put(pod.cache)
    await driver.load(order(artifact, 1))
    worker = pod.serving_worker()
    await driver.unload("adder", epoch=1, generation=2)
    await driver.unload("adder", epoch=1, generation=2)
    await driver.unload("never-there", epoch=1, generation=2)
    reading = await driver.read("adder")
    assert (reading.version, reading.ready) == (None, True)
    assert (await ask(http, pod))[0] == 404
    await until_async(lambda: not worker.is_running(), "the worker ends")
    with pytest.raises(PodRefused):
        await driver.load(order(artifact, 1, generation=1))
