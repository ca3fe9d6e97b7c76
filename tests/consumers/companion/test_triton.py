"""Kind ``triton`` against the real tritonserver 2.51 in explicit mode."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelcast.consumers.pod_clients.port import LoadFailed
from modelcast.consumers.pod_clients.v2 import V2Pod
from modelcast.infra.local.ports import free_ports
from modelcast.infra.local.process import Child
from tests.consumers.companion.asked import alive, infer
from tests.consumers.companion.companion_process import CompanionProcess
from tests.consumers.companion.conformance import Conformance, answers
from tests.consumers.companion.triton_model import CONFIG, MODEL
from tests.consumers.pod.models import Artifact, order
from tests.consumers.pod.pod_process import TOKEN
from tests.support.serving_peers import triton_command, triton_folder

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]


class TritonServer:
    """See ``ServerRig``."""

    def __init__(self, root: Path) -> None:
        self.repository = root / "repository"
        self.repository.mkdir()
        self.log = root / "triton.log"
        self.http_port, self.grpc_port = free_ports(2)
        self.child: Child | None = None

    @property
    def options(self) -> list[str]:
        return ["--kind", "triton", "--server", f"grpc://127.0.0.1:{self.grpc_port}", "--repository",
                str(self.repository)]  # fmt: skip

    def artifact(self, number: int | str, **more: bytes) -> Artifact:
        model = MODEL.replace("SITE", str(triton_folder() / "site"))
        return Artifact(
            {
                "model.py": model.encode(),
                "number.txt": str(number).encode(),
                "modelcast/triton.json": json.dumps({"config": CONFIG}).encode(),
                **{f"{name}.txt": value for name, value in more.items()},
            }
        )

    def corrupt(self) -> Artifact:
        return self.artifact("no number")

    def foreign(self) -> Artifact:
        return Artifact({"weights.gguf": b"something else"})

    def slow(self, number: int) -> Artifact:
        return self.artifact(number, wait=b"6")

    def start(self) -> None:
        command, env = triton_command(self.repository, self.http_port, self.grpc_port)
        self.child = Child.start(command, name="tritonserver", log=self.log, env=env)
        answers(lambda: alive(self.http_port), "Triton answers")

    def kill(self) -> None:
        if self.child is not None:
            self.child.kill()
            self.child = None

    def empty(self) -> None:
        shutil.rmtree(self.repository / "adder")

    def says(self) -> int | None:
        return infer(self.http_port)


class TestTriton(Conformance):
    @pytest.fixture
    def rig(self, tmp_path: Path) -> Iterator[TritonServer]:
        server = TritonServer(tmp_path)
        server.start()
        yield server
        server.kill()

    async def test_without_a_shared_folder_the_files_travel_with_the_load(
        self, rig: TritonServer, tmp_path: Path
    ) -> None:
        home = tmp_path / "companion"
        home.mkdir()
        companion = CompanionProcess(home, *rig.options[:4]).start()
        driver = V2Pod("companion-a", companion.url, TOKEN)
        for version in (1, 2):
            rig.artifact(version).put(companion.cache)
            await driver.load(order(rig.artifact(version), version))
            await self.is_served(version, rig, driver)
        assert list(rig.repository.iterdir()) == []
        await driver.aclose()
        companion.stop()

    async def test_a_backend_that_this_triton_lacks_blames_no_version(
        self, rig: TritonServer, companion: CompanionProcess, driver: V2Pod
    ) -> None:
        await self.serves(1, rig, companion, driver)
        onnx = Artifact({"model.onnx": b"graph"})
        onnx.put(companion.cache)
        with pytest.raises(LoadFailed, match="onnxruntime") as caught:
            await driver.load(order(onnx, 2))
        assert caught.value.code == "unsupported"
        await self.is_served(1, rig, driver)
