"""What a real pod serves beyond one ONNX file, and how it refuses a version that would not serve well."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from safetensors.numpy import save

from modelcast.consumers.pod_clients.port import LoadFailed
from modelcast.consumers.pod_clients.v2 import V2Pod
from tests.consumers.pod.asking import X, value
from tests.consumers.pod.models import Artifact, adder, asking_for_8_gb, endless, order
from tests.consumers.pod.pod_process import TOKEN, PodProcess
from tests.consumers.pod.runtime_package import install

pytestmark = [pytest.mark.integration, pytest.mark.timeout(420)]

TENSOR = {"name": "x", "datatype": "FP32", "shape": [-1, 2]}
RUNTIME = {"runtime": "adds", "inputs": [TENSOR], "outputs": [{**TENSOR, "name": "y"}]}
SAMPLE = json.dumps({"request": {"inputs": [X]}}).encode()
MEMORY_MAX_BYTES = 700 * 1024 * 1024


def own(number: float, how: str = "", runtime: str = "adds") -> Artifact:
    """y = x + number, by a runtime of one's own."""
    files = {
        "weights.safetensors": save({"c": np.array([number], "f4")}),
        "modelcast/pod.json": json.dumps({**RUNTIME, "runtime": runtime}).encode(),
    }
    return Artifact(files | ({"how.txt": how.encode()} if how else {}))


def sampled(number: float, answers: list[float | None]) -> Artifact:
    output = {"name": "y", "datatype": "FP32", "shape": [1, 2], "data": answers}
    sample = {"request": {"inputs": [X]}, "response": {"outputs": [output]}}
    return Artifact({**adder(number).files, "modelcast/sample.json": json.dumps(sample).encode()})


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PodProcess]:
    package = tmp_path / "package"
    package.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(install(package)))
    pod = PodProcess(tmp_path, "--load-seconds-max", "60", "--memory-max-bytes", str(MEMORY_MAX_BYTES))
    yield pod.start()
    pod.stop()


async def refused(driver: V2Pod, pod: PodProcess, artifact: Artifact, version: int) -> LoadFailed:
    artifact.put(pod.cache)
    with pytest.raises(LoadFailed) as caught:
        await driver.load(order(artifact, version))
    return caught.value


async def test_a_runtime_of_ones_own_serves_in_a_process_of_its_own(
    pod: PodProcess, driver: V2Pod, http: aiohttp.ClientSession
) -> None:
    own(3).put(pod.cache)
    await driver.load(order(own(3), 1))
    assert await value(http, pod) == 3.0
    async with http.get(f"{pod.url}/v2/models/adder") as response:
        described = await response.json()
    assert (described["platform"], described["inputs"]) == ("modelcast_adds", [TENSOR])
    for version, (artifact, code, says) in enumerate(
        [
            (own(4, "dies"), "load_crashed", "exit code 7) while it loaded the model: at load"),
            (own(4, "is broken"), "load_failed", "ValueError: no such layer"),
            (own(4, runtime="nowhere"), "unsupported", "no runtime 'nowhere' is installed beside this pod"),
            (own(4, runtime="gone"), "unsupported", "can't be imported here"),
        ],
        2,
    ):
        error = await refused(driver, pod, artifact, version)
        assert (error.code, says in error.message) == (code, True), error
        assert "version 1 goes on serving" in error.message
        assert await value(http, pod) == 3.0


async def test_a_version_that_takes_too_much_memory_or_time_is_named_and_the_pod_lives_on(
    pod: PodProcess, driver: V2Pod, http: aiohttp.ClientSession
) -> None:
    adder(1).put(pod.cache)
    await driver.load(order(adder(1), 1))
    error = await refused(driver, pod, own(2, "takes 8 GB"), 2)
    assert error.code == "out_of_resources"
    assert "its load takes more than the" in error.message
    hungry = own(2, "answer: np.ones(10**9)")
    error = await refused(driver, pod, Artifact({**hungry.files, "modelcast/sample.json": SAMPLE}), 3)
    assert error.code == "out_of_resources"
    assert "its load takes more than the" in error.message
    error = await refused(driver, pod, asking_for_8_gb(), 4)
    assert error.code == "out_of_resources"
    assert "its load takes more than the" in error.message
    assert await value(http, pod) == 1.0
    large = Artifact({**adder(3).files, "weights.bin": bytes(MEMORY_MAX_BYTES)})
    error = await refused(driver, pod, large, 5)
    assert error.code == "out_of_resources"
    assert "it needs at least 700 MiB" in error.message
    assert "of the pod's 700 MiB" in error.message
    assert await value(http, pod) == 1.0
    adder(5).put(pod.cache)
    await driver.load(order(adder(5), 6))
    assert await value(http, pod) == 5.0


async def test_a_warm_up_that_never_ends_is_ended(tmp_path: Path, pod: PodProcess, http: aiohttp.ClientSession) -> None:
    pod.stop()
    pod.options = ("--load-seconds-max", "6")
    pod.start()
    driver = V2Pod("pod-a", pod.url, TOKEN)
    adder(1).put(pod.cache)
    await driver.load(order(adder(1), 1))
    error = await refused(driver, pod, own(2, "loops"), 2)
    assert (error.code, "not loaded within 6 s: still at warm_up" in error.message) == ("load_timeout", True)
    error = await refused(driver, pod, endless(), 3)
    assert (error.code, "not loaded within 6 s: still at warm_up" in error.message) == ("load_timeout", True)
    assert await value(http, pod) == 1.0
    await driver.aclose()


async def test_a_version_that_answers_otherwise_than_recorded_is_refused_and_the_old_one_stays(
    pod: PodProcess, driver: V2Pod, http: aiohttp.ClientSession
) -> None:
    good = sampled(1, [2.0, 3.0])
    good.put(pod.cache)
    await driver.load(order(good, 1))
    for version, artifact, says in (
        (2, sampled(5, [2.0, 3.0]), "output 'y' is 6 at 0, recorded is 2"),
        (3, sampled(float("nan"), [2.0, 3.0]), "is not finite at 0"),
        (4, sampled(1, [2.0]), "has 2 values, recorded are 1"),
    ):
        error = await refused(driver, pod, artifact, version)
        assert (error.code, says in error.message) == ("load_failed", True), error
        assert await value(http, pod) == 1.0


async def test_several_files_are_asked_as_parts_of_the_model(
    pod: PodProcess, driver: V2Pod, http: aiohttp.ClientSession
) -> None:
    files = {f"{n}_model.onnx": adder(number).files["model.onnx"] for n, number in (("encoder", 10), ("decoder", 20))}
    pair = Artifact(files | {"._decoder_model.onnx": b"\0\5\x16\7"})
    pair.put(pod.cache)
    await driver.load(order(pair, 1))

    async def asked(path: str, **body: Any) -> tuple[int, Any]:
        method = http.post if body else http.get
        async with method(f"{pod.url}/v2/models/{path}", **({"json": body} if body else {})) as response:
            return response.status, await response.json()

    for part, number in (("encoder_model", 10.0), ("decoder_model", 20.0)):
        for path in (f"adder/{part}/infer", f"adder%2F{part}/versions/1/infer"):
            status, answer = await asked(path, inputs=[X])
            assert (status, answer["model_name"]) == (200, f"adder/{part}")
            assert answer["outputs"][0]["data"] == [1.0 + number, 2.0 + number]
        status, described = await asked(f"adder/{part}")
        assert (described["name"], described["inputs"]) == (f"adder/{part}", [TENSOR])
        assert (await asked(f"adder/{part}/ready"))[1] == {"name": f"adder/{part}", "ready": True}
    served = "served here: adder/decoder_model, adder/encoder_model"
    for path in ("adder/infer", "adder/decoder/infer"):
        status, answer = await asked(path, inputs=[X])
        assert status == 404
        assert served in answer["error"]
    assert (await asked("adder/encoder_model/versions/2"))[0] == 404
    assert sorted((await asked("adder"))[1]["parts"]) == ["decoder_model", "encoder_model"]
