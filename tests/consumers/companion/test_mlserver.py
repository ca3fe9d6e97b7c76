"""Kind ``mlserver`` against the real MLServer 1.7.1, in one process and with a worker."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelcast.infra.local.ports import free_ports
from modelcast.infra.local.process import Child
from tests.consumers.companion.asked import alive, infer
from tests.consumers.companion.conformance import Conformance, answers
from tests.consumers.pod.models import Artifact
from tests.support.serving_peers import mlserver_python

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]
HINT = {"implementation": "number_runtime.NumberModel"}


class MLServer:
    """See ``ServerRig``."""

    def __init__(self, root: Path, workers: int) -> None:
        self.repository = root / "repository"
        self.repository.mkdir()
        (root / "metrics").mkdir()
        self.log = root / "mlserver.log"
        self.http_port, grpc_port, metrics_port = free_ports(3)
        self.env = {
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parent),
            "MLSERVER_HOST": "127.0.0.1",
            "MLSERVER_HTTP_PORT": str(self.http_port),
            "MLSERVER_GRPC_PORT": str(grpc_port),
            "MLSERVER_METRICS_PORT": str(metrics_port),
            "MLSERVER_METRICS_DIR": str(root / "metrics"),  # else it writes where it is started
            "MLSERVER_PARALLEL_WORKERS": str(workers),
        }
        self.child: Child | None = None

    @property
    def options(self) -> list[str]:
        url = f"http://127.0.0.1:{self.http_port}"
        return ["--kind", "mlserver", "--server", url, "--repository", str(self.repository)]

    def artifact(self, number: int | str, **more: bytes) -> Artifact:
        return Artifact(
            {
                "number.txt": str(number).encode(),
                "modelcast/mlserver.json": json.dumps(HINT).encode(),
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
        command = [str(mlserver_python().parent / "mlserver"), "start", str(self.repository)]
        self.child = Child.start(command, name="MLServer", log=self.log, env=self.env)
        answers(lambda: alive(self.http_port), "MLServer answers")

    def kill(self) -> None:
        if self.child is not None:
            self.child.kill()
            self.child = None

    def empty(self) -> None:
        shutil.rmtree(self.repository / "adder")

    def says(self) -> int | None:
        return infer(self.http_port)


class MLServerConformance(Conformance):
    workers = 0

    @pytest.fixture
    def rig(self, tmp_path: Path) -> Iterator[MLServer]:
        server = MLServer(tmp_path, self.workers)
        server.start()
        yield server
        server.kill()


class TestMLServerInOneProcess(MLServerConformance):
    workers = 0


class TestMLServerWithAWorker(MLServerConformance):
    workers = 1
