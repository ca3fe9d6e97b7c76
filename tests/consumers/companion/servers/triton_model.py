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
        self.number = int((folder / "number.txt").read_text())

    def execute(self, requests):
        answer = np.array([self.number], dtype=np.int32)
        return [pb_utils.InferenceResponse([pb_utils.Tensor("y", answer)]) for _ in requests]
"""
CONFIG = {
    "backend": "python",
    "max_batch_size": 0,
    "input": [{"name": "x", "data_type": "TYPE_INT32", "dims": [1]}],
    "output": [{"name": "y", "data_type": "TYPE_INT32", "dims": [1]}],
    "instance_group": [{"kind": "KIND_CPU", "count": 1}],
}
