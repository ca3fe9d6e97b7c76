"""A real pod: real processes, real models, real signals."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import orjson
import psutil
import pytest

from modelcast.consumers.pods.port import LoadFailed, PodRefused, PodUnreachable
from modelcast.consumers.pods.v2 import V2Pod
from tests.consumers.pod.models import Artifact, adder, matmul, order, slow
from tests.consumers.pod.pod_process import TOKEN, PodProcess, await_for, wait_for

pytestmark = pytest.mark.integration

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


# --- serving ---


async def test_every_answer_names_version_digest_and_authority(
    pod: PodProcess, driver: V2Pod, http: aiohttp.ClientSession
) -> None:
    artifact = adder(5)
    artifact.put(pod.cache)
    await driver.load(order(artifact, 7, generation=12, epoch=3))
    status, headers, answer = await ask(http, pod)
    assert (status, answer["model_name"], answer["model_version"]) == (200, "adder", "7")
    assert answer["outputs"][0]["data"] == [6.0, 7.0]
    named = {n: headers[f"modelcast-{n}"] for n in ("version", "digest", "generation", "epoch")}
    assert named == {"version": "7", "digest": artifact.digest, "generation": "12", "epoch": "3"}


async def test_v2_paths_answer(pod: PodProcess, driver: V2Pod, http: aiohttp.ClientSession) -> None:
    artifact = adder(5)
    artifact.put(pod.cache)
    await driver.load(order(artifact, 7))

    async def get(path: str) -> tuple[int, Any]:
        async with http.get(pod.url + path) as response:
            return response.status, await response.json()

    assert (await get("/v2"))[1]["extensions"] == ["model_repository", "binary_tensor_data", "modelcast"]
    for path in ("/v2/health/live", "/v2/health/ready", "/livez", "/readyz"):
        assert (await get(path))[0] == 200, path
    for path in ("/v2/models/adder", "/v2/models/adder/versions/7"):
        assert (await get(path))[1]["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]
        assert (await get(path + "/ready"))[0] == 200
    for path in ("/v2/models/adder/versions/8", "/v2/models/other", "/v2/models/other/ready", "/nothing"):
        status, body = await get(path)
        assert (status, bool(body["error"])) == (404, True)
    async with http.post(f"{pod.url}/v2/models/adder/versions/7/infer", json={"inputs": [X]}) as response:
        assert response.status == 200
    async with http.post(f"{pod.url}/v2/repository/index") as response:
        row = {"name": "adder", "version": "7", "state": "READY", "reason": ""}
        assert await response.json() == [row]
    async with http.get(f"{pod.url}/metrics") as response:
        text = await response.text()
    assert 'model_predictions_total{model="adder",status="200",version="7"} 1.0' in text
    assert 'model_active_replicas{model="adder",version="7"} 1.0' in text
    assert 'model_prediction_latency_seconds_count{model="adder"} 1.0' in text
    assert 'modelcast_pod_generation{model="adder"} 7.0' in text


async def test_tensors_may_travel_as_bytes(pod: PodProcess, driver: V2Pod, http: aiohttp.ClientSession) -> None:
    artifact = adder(5)
    artifact.put(pod.cache)
    await driver.load(order(artifact, 7))
    item = {"name": "x", "datatype": "FP32", "shape": [300_000, 2], "parameters": {"binary_data_size": 2_400_000}}
    head = orjson.dumps({"inputs": [item], "parameters": {"binary_data_output": True}})
    sent = np.arange(600_000, dtype="<f4")
    headers = {"Inference-Header-Content-Length": str(len(head))}
    url = f"{pod.url}/v2/models/adder/infer"
    async with http.post(url, data=head + sent.tobytes(), headers=headers) as response:
        assert response.status == 200
        body = await response.read()
        split = int(response.headers["Inference-Header-Content-Length"])
    np.testing.assert_array_equal(np.frombuffer(body[split:], "<f4"), sent + 5)


async def test_many_bodies_that_do_not_say_their_size_are_answered(
    pod: PodProcess, driver: V2Pod, http: aiohttp.ClientSession
) -> None:
    artifact = adder(5)
    artifact.put(pod.cache)
    await driver.load(order(artifact, 7))

    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"inputs": ['
        await asyncio.sleep(0.05)
        yield orjson.dumps(X) + b"]}"

    async def one() -> int:
        async with http.post(f"{pod.url}/v2/models/adder/infer", data=chunks()) as response:
            return response.status

    assert set(await asyncio.gather(*(one() for _ in range(40)))) == {200}


# --- swapping ---


@dataclass
class Traffic:
    """Asks without pause on a few connections; notes what failed and what was wrong."""

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


async def test_versions_swap_under_load_without_a_failed_or_wrong_answer(
    pod: PodProcess, driver: V2Pod, http: aiohttp.ClientSession
) -> None:
    versions = {n: adder(100.0 * n) for n in range(1, 13)}
    for artifact in versions.values():
        artifact.put(pod.cache)
    await driver.load(order(versions[1], 1))
    traffic = Traffic(pod, {str(n): 100.0 * n for n in versions})
    started = time.monotonic()
    clients = [asyncio.create_task(traffic.run(http)) for _ in range(4)]
    for n in range(2, 13):
        await driver.load(order(versions[n], n))
        assert (await driver.read("adder")).version == n
        before = traffic.sent
        await await_for(lambda before=before: traffic.sent > before + 20, "traffic goes on")  # type: ignore[misc]
    traffic.stop = True
    await asyncio.gather(*clients)
    assert not traffic.failed
    assert not traffic.wrong
    assert traffic.seen == {str(n) for n in versions}
    assert traffic.sent / (time.monotonic() - started) >= 100


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
    await driver.load(order(new, 2))
    assert await value(http, pod) == 5.0
    assert not request.done(), "the long request should outlast the swap"
    status, headers, answer = await request
    assert (status, answer["model_version"], headers["modelcast-version"]) == (200, "1", "1")
    await await_for(lambda: not old_worker.is_running(), "the old worker ends")


async def test_a_swap_cuts_no_request_off_however_short_a_shutdown_may_be(
    make_pod: MakePod, http: aiohttp.ClientSession
) -> None:
    pod = make_pod("--drain-seconds", "0")
    driver = V2Pod("pod-a", pod.url, TOKEN)
    old, new = slow(), adder(5)
    for artifact in (old, new):
        artifact.put(pod.cache)
    await driver.load(order(old, 1))
    request = asyncio.create_task(ask(http, pod, inputs=long_request()))
    await begun(pod, http)
    await driver.load(order(new, 2))
    assert not request.done(), "the long request should outlast the swap"
    status, headers, _ = await request
    assert (status, headers["modelcast-version"]) == (200, "1")
    await driver.aclose()


def long_request(steps: int = 10_000) -> list[dict[str, Any]]:
    """For ``slow``: a second or more of work."""
    return [
        {"name": "x", "datatype": "FP32", "shape": [1], "data": [1]},
        {"name": "steps", "datatype": "INT64", "shape": [1], "data": [steps]},
    ]


async def begun(pod: PodProcess, http: aiohttp.ClientSession, requests: int = 1) -> None:
    deadline = time.monotonic() + 10
    while True:
        async with http.get(f"{pod.url}/metrics") as response:
            if f"modelcast_pod_in_flight_requests {requests}.0" in await response.text():
                return
        assert time.monotonic() < deadline, "the request never began"
        await asyncio.sleep(0.005)


async def test_memory_after_twenty_reloads_is_at_most_a_fifth_above_that_after_the_first(
    pod: PodProcess, driver: V2Pod, http: aiohttp.ClientSession
) -> None:
    first, second = matmul(1, 1024, 2048), matmul(2, 1024, 2048)
    for artifact in (first, second):
        artifact.put(pod.cache)

    async def reloaded(n: int) -> int:
        await driver.load(order((first, second)[n % 2], n, model="matmul"))
        await await_for(lambda: len(pod.workers()) == 2, "one worker that serves, and one spare")
        readings: list[int] = []

        def settled() -> bool:  # the spare has done its imports
            readings.append(pod.rss_bytes())
            return len(readings) > 30 and max(readings[-20:]) - min(readings[-20:]) < 1024 * 1024

        await await_for(settled, "memory settles")
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
    await await_for(lambda: not worker.is_running(), "a reload replaces the process")
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


def never_read(path: Path) -> None:
    """Replace a file by a pipe that nobody writes: whoever opens it hangs."""
    path.unlink()
    os.mkfifo(path)


async def being_read(path: Path) -> int:
    """Wait until somebody reads the pipe; our end of it, so that the reader now waits for bytes."""
    deadline = time.monotonic() + 20
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

    await await_for(one_has_it, "a worker opens the file")
    return found[0]


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
    await await_for(
        lambda: len([w for w in pod.workers() if nice_values(w).count(usual) >= 4]) == 2,
        "two workers serve, and nothing that serves stepped back",
    )
    await driver.aclose()


# --- what is refused ---


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


async def recorded_as_served(pod: PodProcess, generation: int) -> None:
    path = pod.home / "state" / "adder.json"

    def recorded() -> bool:
        served = orjson.loads(path.read_bytes())["served"]
        return served is not None and served["generation"] == generation

    await await_for(recorded, "the served order is on disk")


async def ready(driver: V2Pod, model: str = "adder") -> None:
    deadline = time.monotonic() + 20
    while not (await driver.read(model)).ready:
        assert time.monotonic() < deadline, "the pod never becomes ready"
        await asyncio.sleep(0.01)


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
    pod = make_pod("--load-seconds-max", "0.5")
    driver = V2Pod("pod-a", pod.url, TOKEN)
    good, hangs = adder(1), adder(2)
    good.put(pod.cache)
    await driver.load(order(good, 1))
    never_read(hangs.put(pod.cache) / "model.onnx")
    with pytest.raises(LoadFailed) as caught:
        await driver.load(order(hangs, 2))
    assert caught.value.code == "load_timeout"
    assert await value(http, pod) == 1.0
    await await_for(lambda: len(pod.workers()) == 2, "the hanging worker is gone")
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
    await await_for(lambda: not worker.is_running(), "the worker ends")
    with pytest.raises(PodRefused):
        await driver.load(order(artifact, 1, generation=1))


# --- what clients send ---

MALFORMED: list[tuple[str, bytes, dict[str, str]]] = [
    ("/v2/models/adder/infer", b"", {}),
    ("/v2/models/adder/infer", b"{", {}),
    ("/v2/models/adder/infer", b"\xff" * 100, {}),
    ("/v2/models/adder/infer", b"[" * 200_000, {}),
    ("/v2/models/adder/infer", b'{"inputs": []}', {}),
    ("/v2/models/adder/infer", b"{}", {"Inference-Header-Content-Length": "99"}),
    ("/v2/models/adder/infer", b"{}", {"Inference-Header-Content-Length": "-1"}),
    ("/v2/models/adder/infer", b"{}", {"Inference-Header-Content-Length": "99999999999999999999"}),
    ("/v2/models/adder/infer", b"not gzip", {"Content-Encoding": "gzip"}),
    ("/v2/models/adder/infer", b"x" * 100_001, {}),
    ("/v2/repository/index", b"{", {}),
    ("/v2/repository/models/adder/load", b"{", {"Authorization": f"Bearer {TOKEN}"}),
    ("/v2/repository/models/adder/load", b"{}", {"Authorization": f"Bearer {TOKEN}"}),
    ("/v2/repository/models/..%2fx/load", b'{"parameters": {}}', {"Authorization": f"Bearer {TOKEN}"}),
    (
        "/v2/repository/models/adder/load",
        b'{"parameters": {"modelcast_version": true}}',
        {"Authorization": f"Bearer {TOKEN}"},
    ),
]


async def test_nothing_that_a_client_sends_kills_the_pod(make_pod: MakePod, http: aiohttp.ClientSession) -> None:
    pod = make_pod("--body-bytes-max", "100000")
    driver = V2Pod("pod-a", pod.url, TOKEN)
    artifact = adder(1)
    artifact.put(pod.cache)
    await driver.load(order(artifact, 1))
    worker, incarnation = pod.serving_worker().pid, (await driver.read("adder")).incarnation
    for path, body, headers in MALFORMED:
        async with http.post(pod.url + path, data=body, headers=headers) as response:
            assert 400 <= response.status < 500, (path, body[:20], response.status)
            if "Content-Encoding" not in headers and len(body) != 200_000:
                assert (await response.json())["error"], (path, body[:20])
    host, port = pod.url.removeprefix("http://").split(":")
    for raw in (
        b"\0" * 1000,
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v2/models/adder/infer HTTP/1.1\r\nContent-Length: 50\r\n\r\n{",
        b"POST /v2/models/adder/infer HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    ):
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(raw)
        await writer.drain()
        writer.close()
    assert await value(http, pod) == 1.0
    assert (pod.serving_worker().pid, (await driver.read("adder")).incarnation) == (worker, incarnation)
    await driver.aclose()


# --- crashes ---


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


async def serves(driver: V2Pod, version: int | None) -> None:
    deadline = time.monotonic() + 20
    while (await driver.read("adder")).version != version:
        assert time.monotonic() < deadline, f"version {version} is not served"
        await asyncio.sleep(0.01)


async def test_a_worker_that_keeps_dying_is_put_back_more_and_more_slowly(pod: PodProcess, driver: V2Pod) -> None:
    artifact = adder(1)
    folder = artifact.put(pod.cache)
    await driver.load(order(artifact, 1))
    folder.parent.rename(folder.parent.with_suffix(".hidden"))
    pod.serving_worker().kill()
    wait_for(lambda: pod.log.read_text().count("load failed") >= 3, "three attempts")
    at = time.monotonic()
    wait_for(lambda: pod.log.read_text().count("load failed") >= 6, "six attempts")
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
    assert (await ask(http, pod, inputs=long_request(1)))[0] == 200
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
    await await_for(lambda: len(pod.workers()) == 2, "a spare")
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
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert not alive


# --- start and end ---


async def test_a_pod_comes_up_with_what_the_region_wants_and_is_ready_only_then(
    tmp_path: Path, make_pod: MakePod, http: aiohttp.ClientSession
) -> None:
    good, missing = adder(1), adder(2)
    good.put(tmp_path / "cache")
    wanted = [order(good, 1), order(missing, 3, model="gone")]
    (tmp_path / "desired.json").write_bytes(orjson.dumps([asdict(o) for o in wanted]))
    pod = make_pod("--desired", str(tmp_path / "desired.json"))
    driver = V2Pod("pod-a", pod.url, TOKEN)
    await ready(driver, "any")
    assert (await driver.read("adder")).version == 1
    assert await value(http, pod) == 1.0
    async with http.post(f"{pod.url}/v2/repository/index") as response:
        rows = {row["name"]: row for row in await response.json()}
    assert rows["gone"]["state"] == "UNAVAILABLE"
    assert "no such artifact" in rows["gone"]["reason"]
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
    pod = make_pod("--desired", str(tmp_path / "nowhere.json"))
    driver = V2Pod("pod-a", pod.url, TOKEN)
    assert not (await driver.read("adder")).ready
    await ready(driver)
    assert await value(http, pod) == 1.0
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
    (tmp_path / "desired.json").write_bytes(orjson.dumps([asdict(order(new, 2))]))
    pod = make_pod("--desired", str(tmp_path / "desired.json"))
    driver = V2Pod("pod-a", pod.url, TOKEN)
    await ready(driver)
    assert await value(http, pod) == 2.0
    await driver.aclose()


async def test_sigterm_drains(make_pod: MakePod, http: aiohttp.ClientSession) -> None:
    pod = make_pod("--grace-seconds", "1.0")
    driver = V2Pod("pod-a", pod.url, TOKEN)
    for artifact, model in ((slow(), "slow"), (adder(1), "adder")):
        artifact.put(pod.cache)
        await driver.load(order(artifact, 1, model=model))
    request = asyncio.create_task(ask(http, pod, "slow", inputs=long_request()))
    await begun(pod, http)
    for worker in pod.workers():
        worker.terminate()  # as systemd does to a whole group: only the front may act on it
    pod.signal(signal.SIGTERM)

    async def readyz() -> int:
        async with http.get(f"{pod.url}/readyz") as response:
            return response.status

    deadline = time.monotonic() + 5
    while await readyz() != 503:
        assert time.monotonic() < deadline
    status, headers, _ = await ask(http, pod)
    assert (status, headers["connection"], headers["modelcast-ready"]) == (200, "close", "false")
    with pytest.raises(PodUnreachable):
        await driver.load(order(adder(1), 1, generation=9))
    while (answer := await ask(http, pod))[0] == 200:
        assert time.monotonic() < deadline
    assert (answer[0], answer[1]["connection"]) == (503, "close")
    assert not request.done(), "the long request should still be in flight"
    assert (await request)[0] == 200
    workers = pod.workers() if not pod.ended else []
    assert pod.wait() == 0
    assert not psutil.wait_procs(workers, timeout=5)[1]
    await driver.aclose()


async def test_a_request_that_never_ends_is_cut_off(make_pod: MakePod, http: aiohttp.ClientSession) -> None:
    pod = make_pod("--grace-seconds", "0.1", "--drain-seconds", "0.5")
    driver = V2Pod("pod-a", pod.url, TOKEN)
    slow().put(pod.cache)
    await driver.load(order(slow(), 1, model="slow"))
    request = asyncio.create_task(ask(http, pod, "slow", inputs=long_request(10**9)))
    await begun(pod, http)
    pod.signal(signal.SIGTERM)
    assert pod.wait(15) == 0
    with pytest.raises((aiohttp.ClientError, AssertionError)):
        assert (await request)[0] == 200
    await driver.aclose()


def test_a_pod_without_a_token_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("\n")
    with pytest.raises(AssertionError, match="needs its region's token"):
        PodProcess(tmp_path, "--token-file", str(tmp_path / "token")).start()
