"""The ``model.py`` of Triton's python backend that tests publish; it is read as text, with SITE filled in."""

MODEL = """
import sys
sys.path.insert(0, "SITE")  # the stub ignores PYTHONPATH
import time
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        folder = Path(__file__).parent
        wait = folder / "wait.txt"
        time.sleep(float(wait.read_text()) if wait.exists() else 0.0)
        self.answer = np.array([int((folder / "number.txt").read_text())], dtype=np.int32)
        floats = folder / "floats.txt"
        if (folder / "otherwise.txt").exists() and "." not in args["model_name"]:  # no trial
            floats = folder / "otherwise.txt"
        if floats.exists():
            self.answer = np.array(floats.read_text().split(), dtype=np.float32)

    def execute(self, requests):
        answer = self.answer
        return [pb_utils.InferenceResponse([pb_utils.Tensor("y", answer)]) for _ in requests]
"""
FLOATS = [{"name": "y", "data_type": "TYPE_FP32", "dims": [-1]}]
CONFIG = {
    "backend": "python",
    "max_batch_size": 0,
    "input": [{"name": "x", "data_type": "TYPE_INT32", "dims": [1]}],
    "output": [{"name": "y", "data_type": "TYPE_INT32", "dims": [1]}],
    "instance_group": [{"kind": "KIND_CPU", "count": 1}],
}
