"""Our own workers keep what every engine promises. What dies alone is a worker."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from modelcast.consumers.pod_clients.port import Proof
from tests.consumers.companion.asked import request
from tests.consumers.engine_conformance import LosingConformance
from tests.consumers.pod.models import Artifact
from tests.consumers.pod.pod_process import PodProcess
from tests.consumers.pod.runtime_package import install
from tests.consumers.pod.server.test_pod_versions import RUNTIME

pytestmark = [pytest.mark.integration, pytest.mark.soak, pytest.mark.timeout(300)]
ZEROS = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [0, 0]}]}


class WorkersRig:
    """See ``LosingRig``: runtimes of one's own in the workers of a pod."""

    proof: Proof = "bytes"
    outlives = False
    says_why = gapless = True

    def __init__(self, root: Path) -> None:
        self.root = root
        self.pod: PodProcess | None = None

    def make(self, home: Path) -> PodProcess:
        self.pod = PodProcess(home, "--grace-seconds", "0.1")
        return self.pod

    def artifact(self, number: int, **more: bytes) -> Artifact:
        files = {
            "weights.safetensors": save({"c": np.array([number], "f4")}),
            "modelcast/pod.json": json.dumps(RUNTIME).encode(),
        }
        return Artifact({**files, **{f"{name}.txt": content for name, content in more.items()}})

    def corrupt(self) -> Artifact:
        return self.artifact(2, how=b"is broken")

    def foreign(self) -> Artifact:
        return Artifact({"model.json": b"{}"})

    def slow(self, number: int) -> Artifact:
        return self.artifact(number, wait=f"3 {self._begun(number)}".encode())

    def began(self, version: int) -> bool:
        return self._begun(version).exists()

    def says(self) -> int | None:
        assert self.pod is not None
        port = int(self.pod.url.rpartition(":")[2])
        status, body = request(port, "POST", "/v2/models/adder/infer", json.dumps(ZEROS))
        return int(body["outputs"][0]["data"][0]) if status == 200 else None

    def kill(self) -> None:
        assert self.pod is not None
        self.pod.cache.rename(self._hidden)  # so that they can't be put back at once
        for worker in self.pod.workers():
            worker.kill()

    def start(self) -> None:
        assert self.pod is not None
        self._hidden.rename(self.pod.cache)

    def empty(self) -> None:
        """A worker that begins has nothing."""

    @property
    def _hidden(self) -> Path:
        return self.root / "hidden"

    def _begun(self, version: int) -> Path:
        return self.root / f"begun-{version}"


class TestWorkers(LosingConformance):
    @pytest.fixture
    def rig(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WorkersRig:
        package = tmp_path / "package"
        package.mkdir()
        monkeypatch.setenv("PYTHONPATH", str(install(package)))
        return WorkersRig(tmp_path)
