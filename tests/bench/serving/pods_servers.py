"""Triton, MLServer and KServe with the same weights: driven by the companion beside them, or naively."""

import asyncio
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

import aiohttp

from modelcast.consumers.pod_clients.v2 import V2Pod
from modelcast.infra.local.ports import free_ports
from modelcast.infra.local.process import Child
from tests.bench.serving.pods_shared import MODEL, order_in, process_tree
from tests.consumers.companion.asked import alive
from tests.consumers.companion.companion_process import CompanionProcess
from tests.consumers.pod.pod_process import TOKEN
from tests.support.servers.serving_peers import (
    kserve_python,
    mlserver_python,
    onnxruntime_folder,
    triton_command,
    triton_folder,
)
from tests.support.waiting import until

ROOT = Path(__file__).parents[3]
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
KSERVE_PROGRAM = """
import sys
import numpy as np
import onnxruntime as ort
from modelcast.consumers.kserve import ModelcastModel, serve_models

class Table(ModelcastModel):
    def load(self):
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(str(self.folder / "model.onnx"), options)
        return True

    def predict(self, payload, headers=None, response_headers=None):
        item = payload.inputs[0] if hasattr(payload, "inputs") else payload["inputs"][0]
        data, shape = (item.data, item.shape) if hasattr(item, "data") else (item["data"], item["shape"])
        (y,) = self.session.run(["y"], {"i": np.array(data, "i8").reshape(shape)})
        output = {"name": "y", "datatype": "FP32", "shape": list(y.shape), "data": y.ravel().tolist()}
        return {"model_name": self.name, "model_version": str(self.version), "id": "1", "outputs": [output]}

serve_models(Table, sys.argv[1], http_port=int(sys.argv[2]), enable_grpc=False)
"""


class Companioned:
    """A server of another kind, swapped by the companion beside it."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.repository = home / "repository"
        self.repository.mkdir()
        self.http_port, self.grpc_port, self.metrics_port = free_ports(3)
        self._child: Child | None = None
        self._companion: CompanionProcess | None = None
        self._driver: V2Pod | None = None
        self.url = f"http://127.0.0.1:{self.http_port}/v2/models/{MODEL}/infer"
        self.grpc = ""

    def command(self) -> tuple[list[str], dict[str, str]]:
        raise NotImplementedError

    def options(self) -> list[str]:
        raise NotImplementedError

    def files(self) -> dict[str, bytes]:
        """What an artifact needs beside the model."""
        raise NotImplementedError

    async def start(self, files: Mapping[str, bytes]) -> None:
        self.start_server()
        folder = self._home / "companion"
        folder.mkdir()
        self._companion = CompanionProcess(folder, *self.options(), "--grace-seconds", "0.1").start()
        self._driver = V2Pod("companion", self._companion.url, TOKEN)
        await self.swap(files, 1)

    def start_server(self) -> None:
        command, env = self.command()
        self._child = Child.start(command, name=type(self).__name__, log=self._home / "server.log", env=env)
        until(lambda: alive(self.http_port), "the server answers", 120)

    async def swap(self, files: Mapping[str, bytes], version: int) -> float:
        assert self._companion is not None
        assert self._driver is not None
        order = await asyncio.to_thread(order_in, self._companion.cache, {**files, **self.files()}, version)
        began = time.perf_counter()
        await self._driver.load(order)
        return time.perf_counter() - began

    def tree(self) -> list[int]:
        return process_tree(self._child.pid) if self._child else []

    def beside(self) -> list[int]:
        return process_tree(self._companion.pid) if self._companion else []

    async def stop(self) -> None:
        if self._driver is not None:
            await self._driver.aclose()
        if self._companion is not None:
            self._companion.stop()
        if self._child is not None:
            self._child.kill()


class Triton(Companioned):
    """tritonserver, python backend, asked by HTTP or by gRPC; the companion loads by gRPC."""

    def __init__(self, home: Path, *, by_grpc: bool = False) -> None:
        super().__init__(home)
        self.grpc = f"127.0.0.1:{self.grpc_port}" if by_grpc else ""

    def command(self) -> tuple[list[str], dict[str, str]]:
        return triton_command(self.repository, self.http_port, self.grpc_port)

    def options(self) -> list[str]:
        server = f"grpc://127.0.0.1:{self.grpc_port}"
        return ["--kind", "triton", "--server", server, "--repository", str(self.repository)]

    def files(self) -> dict[str, bytes]:
        text = TRITON_MODEL.replace("SITE", str(triton_folder() / "site")).replace("ORT", str(onnxruntime_folder()))
        return {"model.py": text.encode(), "modelcast/triton.json": json.dumps({"config": self.config()}).encode()}

    def config(self) -> dict[str, object]:
        return {
            "backend": "python",
            "max_batch_size": 0,
            "input": [{"name": "i", "data_type": "TYPE_INT64", "dims": [-1]}],
            "output": [{"name": "y", "data_type": "TYPE_FP32", "dims": [-1, -1]}],
            "instance_group": [{"kind": "KIND_CPU", "count": 1}],
        }


class MLServer(Companioned):
    """MLServer with 0 or 1 parallel workers."""

    def __init__(self, home: Path, workers: int) -> None:
        super().__init__(home)
        self._workers = workers
        (home / "table_runtime.py").write_text(MLSERVER_MODEL)
        (home / "metrics").mkdir()

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


class KServe(Companioned):
    """KServe's ModelServer with our model class."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        (home / "program.py").write_text(KSERVE_PROGRAM)

    def command(self) -> tuple[list[str], dict[str, str]]:
        env = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{onnxruntime_folder()}"}
        program = str(self._home / "program.py")
        return [str(kserve_python()), program, str(self.repository), str(self.http_port)], env

    def options(self) -> list[str]:
        return [
            "--kind",
            "kserve",
            "--server",
            f"http://127.0.0.1:{self.http_port}",
            "--repository",
            str(self.repository),
        ]

    def files(self) -> dict[str, bytes]:
        return {}


class Placed:
    """What naive drivers have in common: they write files where the server looks, and tell it to load."""

    def lay(self, repository: Path, files: Mapping[str, bytes], version: int) -> Path:
        folder = repository / MODEL / str(version)
        for name, body in files.items():
            if not name.startswith("modelcast/"):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(body)
        return folder


class NaiveTriton(Triton, Placed):
    """Triton as its documentation drives it: a new numbered folder, then a load by HTTP or by gRPC; no companion."""

    def __init__(self, home: Path, *, loads_by_grpc: bool) -> None:
        super().__init__(home)
        self._loads_by_grpc = loads_by_grpc

    async def start(self, files: Mapping[str, bytes]) -> None:
        self.start_server()
        await self.swap(files, 1)

    async def swap(self, files: Mapping[str, bytes], version: int) -> float:
        await asyncio.to_thread(self.lay, self.repository, {**files, **self.files()}, version)
        config = {**self.config(), "name": MODEL, "version_policy": {"latest": {"num_versions": 1}}}
        began = time.perf_counter()
        if self._loads_by_grpc:
            import tritonclient.grpc.aio as triton

            async with triton.InferenceServerClient(f"127.0.0.1:{self.grpc_port}") as client:
                await client.load_model(MODEL, config=json.dumps(config))
        else:
            body = {"parameters": {"config": json.dumps(config)}}
            await _told(f"http://127.0.0.1:{self.http_port}/v2/repository/models/{MODEL}/load", body)
        return time.perf_counter() - began


class NaiveMLServer(MLServer, Placed):
    """MLServer as it comes: one worker, settings with a version, a load by HTTP, and nobody routes around it."""

    async def start(self, files: Mapping[str, bytes]) -> None:
        self.start_server()
        await self.swap(files, 1)

    async def swap(self, files: Mapping[str, bytes], version: int) -> float:
        await asyncio.to_thread(self.lay, self.repository, files, version)
        hint = json.loads(self.files()["modelcast/mlserver.json"])
        parameters = {"uri": f"./{version}", "version": str(version)}
        settings = {**hint, "name": MODEL, "parameters": parameters}
        (self.repository / MODEL / "model-settings.json").write_text(json.dumps(settings))
        began = time.perf_counter()
        await _told(f"http://127.0.0.1:{self.http_port}/v2/repository/models/{MODEL}/load", None)
        return time.perf_counter() - began


async def _told(url: str, body: object) -> None:
    async with aiohttp.ClientSession() as http, http.post(url, json=body) as response:
        assert response.status == 200, await response.text()
