"""Kinds ``tensorflow``, ``torchserve``, ``sglang``, ``vllm`` against servers built to their published descriptions."""

import asyncio
import io
import json
import os
import shutil
import signal
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from modelcast.consumers.pod_clients.port import LoadFailed, PodUnreachable
from modelcast.consumers.pod_clients.v2 import V2Pod
from tests.consumers.companion.asked import post, request
from tests.consumers.companion.companion_process import CompanionProcess
from tests.consumers.companion.conformance import Conformance
from tests.consumers.companion.servers.server_process import PROGRAMS, ServerProcess, running
from tests.consumers.engine_conformance import MakeCompanion
from tests.consumers.pod.models import Artifact, order
from tests.consumers.pod.pod_process import TOKEN
from tests.support.waiting import until_async

pytestmark = [pytest.mark.integration, pytest.mark.soak, pytest.mark.timeout(420)]


class DescribedServer(ServerProcess):
    """See ``ServerRig``."""

    @property
    def options(self) -> list[str]:
        return ["--kind", self.name, "--server", self.url, "--repository", str(self.repository)]

    def command(self) -> tuple[list[str], Mapping[str, str]]:
        program = str(PROGRAMS / "described_server.py")
        return [sys.executable, program, self.name, str(self.repository), str(self.http_port)], os.environ

    def answers(self) -> bool:
        return request(self.http_port, "GET", "/none")[0] > 0


def texts(more: Mapping[str, bytes]) -> dict[str, bytes]:
    return {f"{name}.txt": value for name, value in more.items()}


class TensorFlowServer(DescribedServer):
    name = "tensorflow"

    def artifact(self, number: int | str, **more: bytes) -> Artifact:
        return Artifact({"saved_model.pb": str(number).encode(), **texts(more)})

    def says(self) -> int | None:
        status, body = post(self.http_port, "/v1/models/adder:predict", {"instances": [0]})
        return int(body["predictions"][0]) if status == 200 else None


class TorchServer(DescribedServer):
    name = "torchserve"
    says_why = False

    def artifact(self, number: int | str, **more: bytes) -> Artifact:
        return Artifact({"fraud.mar": archive(str(number), f"1.{number}", **more)})

    def says(self) -> int | None:
        status, number = request(self.http_port, "GET", "/predictions/adder")
        return int(number) if status == 200 else None  # type: ignore[call-overload]


def archive(number: str, version: str, **more: bytes) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as mar:
        manifest = {"model": {"modelName": "adder", "modelVersion": version, "handler": "handler.py"}}
        for name, data in {"MAR-INF/MANIFEST.json": json.dumps(manifest), "number.txt": number}.items():
            mar.writestr(zipfile.ZipInfo(name), data)
        for name, value in texts(more).items():
            mar.writestr(zipfile.ZipInfo(name), value)
    return raw.getvalue()


class SGLangServer(DescribedServer):
    name = "sglang"
    gapless = False

    def artifact(self, number: int | str, **more: bytes) -> Artifact:
        files = {"config.json": b"{}", "model.safetensors": b"weights", "number.txt": str(number).encode()}
        return Artifact({**files, **texts(more)})

    def says(self) -> int | None:
        status, body = post(self.http_port, "/generate", {"text": "?"})
        return int(body["text"]) if status == 200 else None


class VLLMServer(DescribedServer):
    name = "vllm"
    gapless = False

    def artifact(self, number: int | str, **more: bytes) -> Artifact:
        return Artifact({"adapter_config.json": b"{}", "number.txt": str(number).encode(), **texts(more)})

    def says(self) -> int | None:
        status, body = post(self.http_port, "/v1/completions", {"model": "adder", "prompt": "?"})
        return int(body["choices"][0]["text"]) if status == 200 else None


class HoldsNumbers(Conformance):
    """Of servers that read a version's files once, whatever lies there later."""

    async def test_other_bytes_under_a_number_that_it_holds_are_loaded(
        self, rig: DescribedServer, make_companion: MakeCompanion
    ) -> None:
        first = make_companion()
        driver = V2Pod("companion-a", first.url, TOKEN)
        await self.serves(1, rig, first, driver)
        first.signal(signal.SIGTERM)
        first.wait()
        await driver.aclose()
        shutil.rmtree(first.home / "state")  # as the hint of a foreign registry has it
        second = make_companion()
        driver = V2Pod("companion-a", second.url, TOKEN)
        other = rig.artifact(7)
        other.put(second.cache)
        await driver.load(order(other, 1))
        assert await asyncio.to_thread(rig.says) == 7
        assert (await driver.read("adder")).manifest_digest == other.digest
        await driver.aclose()


class TestTensorFlowServing(HoldsNumbers):
    @pytest.fixture
    def rig(self, tmp_path: Path) -> Iterator[TensorFlowServer]:
        with running(TensorFlowServer(tmp_path)) as server:
            yield server


class TestTorchServe(HoldsNumbers):
    @pytest.fixture
    def rig(self, tmp_path: Path) -> Iterator[TorchServer]:
        with running(TorchServer(tmp_path)) as server:
            yield server

    async def test_two_archives_of_one_version_are_unsupported_with_what_to_do(
        self, rig: TorchServer, companion: CompanionProcess, driver: V2Pod
    ) -> None:
        await self.serves(1, rig, companion, driver)
        same = Artifact({"fraud.mar": archive("2", "1.1")})
        same.put(companion.cache)
        with pytest.raises(LoadFailed, match="already registered") as caught:
            await driver.load(order(same, 2))
        assert caught.value.code == "unsupported"
        await self.is_served(1, rig, driver)


class TestSGLang(Conformance):
    @pytest.fixture
    def rig(self, tmp_path: Path) -> Iterator[SGLangServer]:
        with running(SGLangServer(tmp_path)) as server:
            yield server

    async def test_an_unloaded_model_is_gone(
        self, rig: SGLangServer, companion: CompanionProcess, driver: V2Pod
    ) -> None:
        """It always serves its one model, and says so."""
        await self.serves(1, rig, companion, driver)
        with pytest.raises(LoadFailed, match="serves its one model until it is stopped"):
            await driver.unload("adder", epoch=1, generation=2)

    async def test_what_a_killed_companion_has_left_paused_answers_again(
        self, rig: SGLangServer, companion: CompanionProcess, driver: V2Pod, make_companion: MakeCompanion
    ) -> None:
        for artifact in (rig.artifact(1), rig.slow(2)):
            artifact.put(companion.cache)
        await driver.load(order(rig.artifact(1), 1))
        load = asyncio.create_task(driver.load(order(rig.slow(2), 2)))
        await until_async(lambda: rig.says() is None, "it is paused")
        companion.signal(signal.SIGKILL)
        companion.wait()
        with pytest.raises(PodUnreachable):
            await load
        second = make_companion()
        again = V2Pod("companion-a", second.url, TOKEN)
        await again.load(order(rig.artifact(1), 1, generation=3, epoch=2))
        await until_async(lambda: rig.says() == 1, "it answers")
        await again.aclose()

    async def test_a_second_model_is_unsupported(
        self, rig: SGLangServer, companion: CompanionProcess, driver: V2Pod
    ) -> None:
        await self.serves(1, rig, companion, driver)
        with pytest.raises(LoadFailed, match="it serves adder, and one model only") as caught:
            await driver.load(order(rig.artifact(1), 1, model="other"))
        assert caught.value.code == "unsupported"


class TestVLLM(Conformance):
    @pytest.fixture
    def rig(self, tmp_path: Path) -> Iterator[VLLMServer]:
        with running(VLLMServer(tmp_path)) as server:
            yield server

    async def test_what_old_weights_have_computed_is_no_answer_of_the_new_ones(
        self, rig: VLLMServer, companion: CompanionProcess, driver: V2Pod
    ) -> None:
        await self.serves(1, rig, companion, driver)
        slow = rig.slow(2)
        slow.put(companion.cache)
        load = asyncio.create_task(driver.load(order(slow, 2)))
        while not load.done():  # requests that fill its prefix cache
            await asyncio.to_thread(rig.says)
            await asyncio.sleep(0.02)
        await load
        await self.is_served(2, rig, driver)
