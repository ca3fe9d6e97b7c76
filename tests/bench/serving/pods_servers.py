"""Triton, MLServer and KServe as processes, each with a model repository of its own."""

import json
import os
from pathlib import Path

from modelcast.infra.local.ports import free_ports
from modelcast.infra.local.process import Child
from tests.bench.serving.pods_shared import MODEL, process_tree
from tests.consumers.companion.asked import alive
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


class Server:
    """One server. A subclass says how it is started, and what it needs of an artifact.

    Args:
        home: a folder of its own.
        by_grpc: whether it is asked by gRPC.
    """

    kind: str  # as the companion names it

    def __init__(self, home: Path, *, by_grpc: bool = False) -> None:
        self.home = home
        self.repository = home / "repository"
        self.repository.mkdir()
        self.http_port, self.grpc_port, self.metrics_port = free_ports(3)
        self.http, self.grpc = f"http://127.0.0.1:{self.http_port}", f"127.0.0.1:{self.grpc_port}"
        self.url = f"{self.http}/v2/models/{MODEL}/infer"
        self.asked_by_grpc = by_grpc
        self._child: Child | None = None

    def command(self) -> tuple[list[str], dict[str, str]]:
        """Its command line and environment."""
        raise NotImplementedError

    def files(self) -> dict[str, bytes]:
        """What an artifact needs beside the model."""
        return {}

    @property
    def told_at(self) -> str:
        """Where a companion tells it what to load."""
        return self.http

    def start(self) -> None:
        """Start it; return once it answers."""
        command, env = self.command()
        self._child = Child.start(command, name=self.kind, log=self.home / "server.log", env=env)
        until(lambda: alive(self.http_port), "the server answers", 120)

    def tree(self) -> list[int]:
        """The ids of its processes."""
        return process_tree(self._child.pid) if self._child else []

    def stop(self) -> None:
        """End it."""
        if self._child is not None:
            self._child.kill()


class Triton(Server):
    """tritonserver with its python backend, told by gRPC."""

    kind = "triton"

    def command(self) -> tuple[list[str], dict[str, str]]:
        """See ``Server.command``."""
        return triton_command(self.repository, self.http_port, self.grpc_port)

    @property
    def told_at(self) -> str:
        """See ``Server.told_at``."""
        return f"grpc://{self.grpc}"

    def files(self) -> dict[str, bytes]:
        """See ``Server.files``."""
        text = TRITON_MODEL.replace("SITE", str(triton_folder() / "site")).replace("ORT", str(onnxruntime_folder()))
        return {"model.py": text.encode(), "modelcast/triton.json": json.dumps({"config": self.config()}).encode()}

    def config(self) -> dict[str, object]:
        """The model's ModelConfig, but for what a version adds."""
        return {
            "backend": "python",
            "max_batch_size": 0,
            "input": [{"name": "i", "data_type": "TYPE_INT64", "dims": [-1]}],
            "output": [{"name": "y", "data_type": "TYPE_FP32", "dims": [-1, -1]}],
            "instance_group": [{"kind": "KIND_CPU", "count": 1}],
        }


class MLServer(Server):
    """MLServer with 0 or 1 parallel workers."""

    kind = "mlserver"

    def __init__(self, home: Path, workers: int) -> None:
        super().__init__(home)
        self._workers = workers
        (home / "table_runtime.py").write_text(MLSERVER_MODEL)
        (home / "metrics").mkdir()

    def command(self) -> tuple[list[str], dict[str, str]]:
        """See ``Server.command``."""
        settings = {
            "HOST": "127.0.0.1",
            "HTTP_PORT": self.http_port,
            "GRPC_PORT": self.grpc_port,
            "METRICS_PORT": self.metrics_port,
            "METRICS_DIR": self.home / "metrics",
            "PARALLEL_WORKERS": self._workers,
        }
        env = {**os.environ, **{f"MLSERVER_{name}": str(value) for name, value in settings.items()}}
        env["PYTHONPATH"] = f"{self.home}:{onnxruntime_folder()}"
        return [str(mlserver_python().parent / "mlserver"), "start", str(self.repository)], env

    def hint(self) -> dict[str, object]:
        """The model's settings, but for what a version adds."""
        return {"implementation": "table_runtime.TableModel"}

    def files(self) -> dict[str, bytes]:
        """See ``Server.files``."""
        return {"modelcast/mlserver.json": json.dumps(self.hint()).encode()}


class KServe(Server):
    """KServe's ModelServer with our model class."""

    kind = "kserve"

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        (home / "program.py").write_text(KSERVE_PROGRAM)

    def command(self) -> tuple[list[str], dict[str, str]]:
        """See ``Server.command``."""
        env = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{onnxruntime_folder()}"}
        program = str(self.home / "program.py")
        return [str(kserve_python()), program, str(self.repository), str(self.http_port)], env
