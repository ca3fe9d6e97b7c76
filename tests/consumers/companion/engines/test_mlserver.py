"""Kind ``mlserver`` against the real MLServer 1.7.1, in one process and with a worker."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.consumers.companion.asked import post
from tests.consumers.companion.conformance import ComparingConformance
from tests.consumers.companion.servers.server_process import PROGRAMS, ServerProcess, running
from tests.consumers.pod.models import Artifact
from tests.support.servers.serving_peers import mlserver_python

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]
HINT = {"implementation": "number_runtime.NumberModel"}


class MLServer(ServerProcess):
    """See ``ServerRig``."""

    name = "MLServer"
    gapless = False
    ports = 3

    def __init__(self, root: Path, workers: int) -> None:
        super().__init__(root)
        self.workers = workers
        self.says_why = workers > 0  # in one process a loader's exception is a plain 500, without a word
        (root / "metrics").mkdir()

    @property
    def options(self) -> list[str]:
        return ["--kind", "mlserver", "--server", self.url, "--repository", str(self.repository)]

    def command(self) -> tuple[list[str], Mapping[str, str]]:
        grpc_port, metrics_port = self.other_ports
        env = {
            **os.environ,
            "PYTHONPATH": str(PROGRAMS),
            "MLSERVER_HOST": "127.0.0.1",
            "MLSERVER_HTTP_PORT": str(self.http_port),
            "MLSERVER_GRPC_PORT": str(grpc_port),
            "MLSERVER_METRICS_PORT": str(metrics_port),
            "MLSERVER_METRICS_DIR": str(self.root / "metrics"),  # else it writes where it is started
            "MLSERVER_PARALLEL_WORKERS": str(self.workers),
        }
        return [str(mlserver_python().parent / "mlserver"), "start", str(self.repository)], env

    def artifact(self, number: int | str, **more: bytes) -> Artifact:
        return Artifact(
            {
                "number.txt": str(number).encode(),
                "modelcast/mlserver.json": json.dumps(HINT).encode(),
                **{f"{name}.txt": value for name, value in more.items()},
            }
        )

    def load_by_hand(self, number: int) -> None:
        settings = {**HINT, "name": "adder", "parameters": {"uri": f"./{number}"}}
        (self.repository / "adder/model-settings.json").write_text(json.dumps(settings))
        assert post(self.http_port, "/v2/repository/models/adder/load", {})[0] == 200


class MLServerConformance(ComparingConformance):
    workers = 0

    @pytest.fixture
    def rig(self, tmp_path: Path) -> Iterator[MLServer]:
        with running(MLServer(tmp_path, self.workers)) as server:
            yield server


class TestMLServerInOneProcess(MLServerConformance):
    workers = 0


class TestMLServerWithAWorker(MLServerConformance):
    workers = 1
