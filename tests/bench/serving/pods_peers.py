"""The servers that ``pods`` compares, each with the same weights: started, swapped, counted."""

import json
import os
import shutil
import sys
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import aiohttp
import psutil

from modelcast.consumers.pod_clients.v2 import V2Pod
from modelcast.infra.local.ports import free_ports
from modelcast.infra.local.process import Child
from tests.consumers.companion.asked import alive
from tests.consumers.companion.companion_process import CompanionProcess
from tests.consumers.pod.models import Artifact, order
from tests.consumers.pod.pod_process import TOKEN, PodProcess
from tests.support.servers.serving_peers import mlserver_python, onnxruntime_folder, triton_command, triton_folder
from tests.support.waiting import until

MODEL = "table"
TRITON_MODEL = """
import sys
sys.path[:0] = ["SITE", "ORT"]
from pathlib import Path
import onnxruntime as ort
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(str(Path(__file__).parent / "model.onnx"), options)

    def execute(self, requests):
        answers = []
        for request in requests:
            (y,) = self.session.run(["y"], {"i": pb_utils.get_input_tensor_by_name(request, "i").as_numpy()})
            answers.append(pb_utils.InferenceResponse([pb_utils.Tensor("y", y)]))
        return answers
"""
MLSERVER_MODEL = """
from pathlib import Path
import numpy as np
import onnxruntime as ort
from mlserver import MLModel
from mlserver.types import InferenceResponse, ResponseOutput
from mlserver.utils import get_model_uri

class TableModel(MLModel):
    async def load(self):
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        folder = Path(await get_model_uri(self._settings))
        self.session = ort.InferenceSession(str(folder / "model.onnx"), options)
        return True

    async def predict(self, payload):
        item = payload.inputs[0]
        (y,) = self.session.run(["y"], {"i": np.array(item.data, "i8").reshape(item.shape)})
        output = ResponseOutput(name="y", shape=list(y.shape), datatype="FP32", data=y.ravel().tolist())
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=[output])
"""


class Peer(Protocol):
    """One server."""

    url: str  # where the model is asked

    async def start(self, files: Mapping[str, bytes]) -> None:
        """Start it, serving ``files`` as version 1."""
        ...

    async def swap(self, files: Mapping[str, bytes], version: int) -> float:
        """Return when it serves them: the seconds since it was told, with the files in place."""
        ...

    def tree(self) -> list[int]:
        """The process ids of what answers requests."""
        ...

    async def stop(self) -> None:
        """End it."""
        ...


class OurPod:
    """A pod, ordered as a region does."""

    def __init__(self, home: Path, options: list[str]) -> None:
        self._pod = PodProcess(home, *options)
        self.url = ""

    async def start(self, files: Mapping[str, bytes]) -> None:
        self._pod.start()
        self.url = f"{self._pod.url}/v2/models/{MODEL}/infer"
        self._driver = V2Pod("pod", self._pod.url, TOKEN)
        await self.swap(files, 1)

    async def swap(self, files: Mapping[str, bytes], version: int) -> float:
        artifact = _put(files, self._pod.cache)
        began = time.perf_counter()
        await self._driver.load(order(artifact, version, model=MODEL, reload=True))
        return time.perf_counter() - began

    def tree(self) -> list[int]:
        return _tree(self._pod.pid)

    async def stop(self) -> None:
        await self._driver.aclose()
        self._pod.stop()


class Companioned:
    """A server of another kind, swapped by the companion beside it."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.repository = home / "repository"
        self.repository.mkdir()
        self.http_port, self.grpc_port, self.metrics_port = free_ports(3)
        self._child: Child | None = None
        self.url = ""

    def command(self) -> tuple[list[str], dict[str, str]]:
        raise NotImplementedError

    def options(self) -> list[str]:
        raise NotImplementedError

    def files(self) -> dict[str, bytes]:
        """What an artifact needs beside the model."""
        raise NotImplementedError

    async def start(self, files: Mapping[str, bytes]) -> None:
        command, env = self.command()
        self._child = Child.start(command, name=type(self).__name__, log=self._home / "server.log", env=env)
        until(lambda: alive(self.http_port), "the server answers", 120)
        folder = self._home / "companion"
        folder.mkdir()
        self._companion = CompanionProcess(folder, *self.options(), "--grace-seconds", "0.1").start()
        self._driver = V2Pod("companion", self._companion.url, TOKEN)
        await self.swap(files, 1)

    async def swap(self, files: Mapping[str, bytes], version: int) -> float:
        artifact = _put({**files, **self.files()}, self._companion.cache)
        began = time.perf_counter()
        await self._driver.load(order(artifact, version, model=MODEL, reload=True))
        return time.perf_counter() - began

    def tree(self) -> list[int]:
        return _tree(self._child.pid) if self._child else []

    async def stop(self) -> None:
        await self._driver.aclose()
        self._companion.stop()
        if self._child is not None:
            self._child.kill()


class Triton(Companioned):
    """tritonserver, python backend, asked by HTTP; the companion loads by gRPC."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.url = f"http://127.0.0.1:{self.http_port}/v2/models/{MODEL}/infer"

    def command(self) -> tuple[list[str], dict[str, str]]:
        return triton_command(self.repository, self.http_port, self.grpc_port)

    def options(self) -> list[str]:
        server = f"grpc://127.0.0.1:{self.grpc_port}"
        return ["--kind", "triton", "--server", server, "--repository", str(self.repository)]

    def files(self) -> dict[str, bytes]:
        text = TRITON_MODEL.replace("SITE", str(triton_folder() / "site")).replace("ORT", str(onnxruntime_folder()))
        config = {
            "backend": "python",
            "max_batch_size": 0,
            "input": [{"name": "i", "data_type": "TYPE_INT64", "dims": [-1]}],
            "output": [{"name": "y", "data_type": "TYPE_FP32", "dims": [-1, -1]}],
            "instance_group": [{"kind": "KIND_CPU", "count": 1}],
        }
        return {"model.py": text.encode(), "modelcast/triton.json": json.dumps({"config": config}).encode()}


class MLServer(Companioned):
    """MLServer with 0 or 1 parallel workers."""

    def __init__(self, home: Path, workers: int) -> None:
        super().__init__(home)
        self._workers = workers
        (home / "table_runtime.py").write_text(MLSERVER_MODEL)
        (home / "metrics").mkdir()
        self.url = f"http://127.0.0.1:{self.http_port}/v2/models/{MODEL}/infer"

    def command(self) -> tuple[list[str], dict[str, str]]:
        settings = {
            "HOST": "127.0.0.1",
            "HTTP_PORT": self.http_port,
            "GRPC_PORT": self.grpc_port,
            "METRICS_PORT": self.metrics_port,
            "METRICS_DIR": self._home / "metrics",
            "PARALLEL_WORKERS": self._workers,
        }
        env = {**os.environ, **{f"MLSERVER_{name}": str(value) for name, value in settings.items()}}
        env["PYTHONPATH"] = f"{self._home}:{onnxruntime_folder()}"
        return [str(mlserver_python().parent / "mlserver"), "start", str(self.repository)], env

    def options(self) -> list[str]:
        url = f"http://127.0.0.1:{self.http_port}"
        return ["--kind", "mlserver", "--server", url, "--repository", str(self.repository)]

    def files(self) -> dict[str, bytes]:
        return {"modelcast/mlserver.json": json.dumps({"implementation": "table_runtime.TableModel"}).encode()}


class Bare:
    """An aiohttp application of a few lines, see ``pods_bare``."""

    def __init__(self, home: Path, *, isolated: bool) -> None:
        self._home, self._isolated = home, isolated
        (self._port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self._port}/v2/models/{MODEL}/infer"
        self._child: Child | None = None

    async def start(self, files: Mapping[str, bytes]) -> None:
        command = [sys.executable, "-m", "tests.bench.serving.pods_bare", str(self._port), str(self._laid(files, 1))]
        command += ["--isolated"] if self._isolated else []
        self._child = Child.start(command, name="bare", log=self._home / "bare.log")
        until(lambda: psutil.Process(self._child.pid).net_connections(), "it listens")  # type: ignore[union-attr]

    def _laid(self, files: Mapping[str, bytes], version: int) -> Path:
        folder = self._home / str(version)
        folder.mkdir()
        for name, body in files.items():
            (folder / name).write_bytes(body)
        return folder

    async def swap(self, files: Mapping[str, bytes], version: int) -> float:
        folder = self._laid(files, version)
        began = time.perf_counter()
        async with aiohttp.ClientSession() as http, http.post(
            f"http://127.0.0.1:{self._port}/load", data=str(folder)
        ) as response:  # fmt: skip
            assert response.status == 200, await response.text()
        seconds = time.perf_counter() - began
        shutil.rmtree(self._home / str(version - 1), ignore_errors=True)
        return seconds

    def tree(self) -> list[int]:
        return _tree(self._child.pid) if self._child else []

    async def stop(self) -> None:
        if self._child is not None:
            self._child.kill()


PEERS = ("ours", "triton", "mlserver0", "mlserver1", "aiohttp", "aiohttp-isolated")


def make_peer(name: str, home: Path, options: list[str]) -> Peer:
    """One of ``PEERS``; ``options`` are our pod's."""
    match name:
        case "ours":
            return OurPod(home, options)
        case "triton":
            return Triton(home)
        case "mlserver0" | "mlserver1":
            return MLServer(home, int(name[-1]))
        case _:
            return Bare(home, isolated=name == "aiohttp-isolated")


def _put(files: Mapping[str, bytes], cache: Path) -> Artifact:
    """Lay an artifact into a cache, once."""
    artifact = _artifact(tuple(files.items()))
    if not (cache / artifact.digest[7:]).exists():
        artifact.put(cache)
    return artifact


@lru_cache(maxsize=4)
def _artifact(files: tuple[tuple[str, bytes], ...]) -> Artifact:
    return Artifact(dict(files))


def _tree(pid: int) -> list[int]:
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
