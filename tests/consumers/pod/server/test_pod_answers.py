"""A real pod answers by the Open Inference Protocol, whatever clients send."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import numpy as np
import orjson
import pytest

from modelcast.consumers.pod_clients.v2 import V2Pod
from tests.consumers.pod.asking import (
    MakePod,
    X,
    ask,
    value,
)
from tests.consumers.pod.models import adder, order
from tests.consumers.pod.pod_process import TOKEN, PodProcess

pytestmark = [pytest.mark.integration, pytest.mark.timeout(420)]


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
    assert 'model_predictions_total{code="200",model="adder",version="7"} 1.0' in text
    assert 'model_active_replicas{model="adder",version="7"} 1.0' in text
    assert 'model_prediction_latency_seconds_count{model="adder",version="7"} 1.0' in text
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
