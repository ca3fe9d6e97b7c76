"""The versions that ``pods`` has served, and what any swap of them takes at least."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.serving.pods_shared import Files, Large, lay
from tests.consumers.pod.models import table, table_graph

COLUMNS = 64
ROW = 7
RUNS = 3
BODY = json.dumps({"inputs": [{"name": "i", "datatype": "INT64", "shape": [1], "data": [ROW]}]}).encode()
READ_ONCE = """
import sys, time, numpy as np, onnxruntime as ort
began = time.perf_counter()
for name in ("model.onnx", "weights.bin"):
    with open(sys.argv[1] + "/" + name, "rb") as file:
        while file.read(1 << 20):
            pass
options = ort.SessionOptions()
options.intra_op_num_threads = 1
session = ort.InferenceSession(sys.argv[1] + "/model.onnx", options)
session.run(["y"], {"i": np.array([7])})
print(time.perf_counter() - began)
"""


class Weights:
    """Versions that take two large files in turn, and each adds a number of its own: no two answer alike.

    Args:
        megabytes: of each version.
        versions: how many there may be.
        folder: where the large files are kept, on the file system of the servers' folders.
    """

    def __init__(self, megabytes: int, versions: int, folder: Path) -> None:
        self.folder = folder
        self._rows = megabytes * 1_000_000 // (4 * COLUMNS)
        self._large, self._asked = [], []
        for seed in (1, 2):
            body = table(seed, self._rows, COLUMNS).files["weights.bin"]
            self._large.append(Large.written(folder / f"weights-{seed}.bin", body, "weights.bin"))
            self._asked.append(np.frombuffer(body, "f4", COLUMNS, ROW * COLUMNS * 4).copy())
        self.names = {round(float(self._answer(v)[0]), 4): self.name(v) for v in range(1, versions + 1)}
        assert len(self.names) == versions, "two versions answer alike"

    def of(self, version: int, *, with_sample: bool = False) -> Files:
        """The files of a version."""
        files: dict[str, bytes | Large] = {
            "model.onnx": table_graph(self._rows, COLUMNS, _plus(version)),
            "weights.bin": self._large[version % 2],
        }
        if not with_sample:
            return files
        answer = {"name": "y", "datatype": "FP32", "shape": [1, COLUMNS], "data": self._answer(version).tolist()}
        sample = {"request": json.loads(BODY), "response": {"outputs": [answer]}}
        return {**files, "modelcast/sample.json": json.dumps(sample).encode()}

    @staticmethod
    def name(version: int) -> str:
        """What it is called where answers are judged."""
        return f"version {version}"

    def _answer(self, version: int) -> "np.ndarray[Any, np.dtype[np.float32]]":
        return self._asked[version % 2] + np.float32(_plus(version))


def _plus(version: int) -> float:
    return version / 4


def read_once_seconds(weights: Weights) -> float:
    """What any swap has to do: read the weights and answer once; in a new process."""

    def once(folder: Path) -> float:
        command = [sys.executable, "-c", READ_ONCE, str(folder)]
        return float(subprocess.run(command, capture_output=True, check=True).stdout)

    return _median(once, weights)


def copy_seconds(weights: Weights) -> float:
    """What a server with a folder of its own needs besides: a copy of the files, safe on the disk."""

    def once(folder: Path) -> float:
        began = time.perf_counter()
        for source in sorted(folder.iterdir()):
            with source.open("rb") as read, (folder.parent / "copy").open("wb") as write:
                while chunk := read.read(8 << 20):
                    write.write(chunk)
                write.flush()
                os.fsync(write.fileno())
        return time.perf_counter() - began

    return _median(once, weights)


def _median(once: Callable[[Path], float], weights: Weights) -> float:
    with tempfile.TemporaryDirectory(dir=weights.folder) as home:
        lay(Path(home) / "version", weights.of(1))
        return statistics.median(once(Path(home) / "version") for _ in range(RUNS))
