"""Tiny real ONNX models, as artifacts in a folder that ``FolderArtifacts`` reads."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from modelcast.consumers.pod_clients.port import LoadOrder
from modelcast.schemas.digests import hex_of
from modelcast.schemas.manifest import BLOCK_SIZE_BYTES, FileEntry, Manifest

REGISTRY = "11111111-2222-3333-4444-555555555555"


@dataclass(frozen=True)
class Artifact:
    """One version's files, as bytes by path."""

    files: dict[str, bytes]

    @cached_property
    def manifest(self) -> Manifest:
        return Manifest(tuple(_entry(path, data) for path, data in sorted(self.files.items())))

    @cached_property
    def digest(self) -> str:
        return self.manifest.digest

    def put(self, cache: Path) -> Path:
        """Lay it into a cache folder; the folder of its files."""
        folder = cache / hex_of(self.digest)
        for path, data in self.files.items():
            (folder / "files" / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / "files" / path).write_bytes(data)
        (folder / "manifest.json").write_bytes(self.manifest.encode())
        return folder / "files"


def _entry(path: str, data: bytes) -> FileEntry:
    blocks = tuple(
        hashlib.sha256(data[i : i + BLOCK_SIZE_BYTES]).hexdigest() for i in range(0, len(data), BLOCK_SIZE_BYTES)
    )
    return FileEntry(path, len(data), "sha256:" + hashlib.sha256(data).hexdigest(), blocks)


def order(
    artifact: Artifact,
    version: int,
    *,
    model: str = "adder",
    generation: int | None = None,
    epoch: int = 1,
    registry: str = REGISTRY,
    reload: bool = False,
) -> LoadOrder:
    number = version if generation is None else generation
    return LoadOrder(model, version, artifact.digest, number, epoch, registry, reload)


def _serialized(graph: onnx.GraphProto) -> bytes:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _value(name: str, kind: int, shape: list[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def adder(number: float) -> Artifact:
    """y = x + number, for x of [n, 2]: every answer tells which version gave it."""
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "c"], ["y"])],
        "adder",
        [_value("x", TensorProto.FLOAT, ["n", 2])],
        [_value("y", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(np.array([number], "f4"), "c")],
    )
    return Artifact({"model.onnx": _serialized(graph)})


def slow() -> Artifact:
    """y = x, after as many matrix products as the input ``steps`` says (for requests in flight)."""
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["m_in", "w"], ["m_out"]),
            helper.make_node("Identity", ["cond_in"], ["cond_out"]),
        ],
        "body",
        [
            _value("i", TensorProto.INT64, []),
            _value("cond_in", TensorProto.BOOL, []),
            _value("m_in", TensorProto.FLOAT, [256, 256]),
        ],
        [_value("cond_out", TensorProto.BOOL, []), _value("m_out", TensorProto.FLOAT, [256, 256])],
    )
    graph = helper.make_graph(
        [
            helper.make_node("Expand", ["x", "square"], ["start"]),
            helper.make_node("Loop", ["steps", "", "start"], ["m"], body=body),
            helper.make_node("ReduceSum", ["m"], ["total"], keepdims=0),
            helper.make_node("Mul", ["total", "zero"], ["nothing"]),
            helper.make_node("Add", ["x", "nothing"], ["y"]),
        ],
        "slow",
        [_value("x", TensorProto.FLOAT, [1]), _value("steps", TensorProto.INT64, [1])],
        [_value("y", TensorProto.FLOAT, [1])],
        [
            numpy_helper.from_array(np.eye(256, dtype="f4"), "w"),
            numpy_helper.from_array(np.array([256, 256], "i8"), "square"),
            numpy_helper.from_array(np.array([0], "f4"), "zero"),
        ],
    )
    return Artifact({"model.onnx": _serialized(graph)})


def matmul(seed: int, rows: int, columns: int) -> Artifact:
    """y = x·w with the weights in a file beside the model: x of [n, rows]."""
    weights = np.random.default_rng(seed).standard_normal((rows, columns), "f4")
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[rows, columns])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "weights.bin"), ("offset", "0"), ("length", str(weights.nbytes))):
        tensor.external_data.add(key=key, value=value)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "matmul",
        [_value("x", TensorProto.FLOAT, ["n", rows])],
        [_value("y", TensorProto.FLOAT, ["n", columns])],
        [tensor],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return Artifact({"model.onnx": model.SerializeToString(), "weights.bin": weights.tobytes()})


def mixed() -> Artifact:
    """Every datatype through Identity, each of [n]: in_FP32 → out_FP32, …"""
    kinds = {
        "BOOL": TensorProto.BOOL,
        "UINT8": TensorProto.UINT8,
        "UINT16": TensorProto.UINT16,
        "UINT32": TensorProto.UINT32,
        "UINT64": TensorProto.UINT64,
        "INT8": TensorProto.INT8,
        "INT16": TensorProto.INT16,
        "INT32": TensorProto.INT32,
        "INT64": TensorProto.INT64,
        "FP16": TensorProto.FLOAT16,
        "FP32": TensorProto.FLOAT,
        "FP64": TensorProto.DOUBLE,
        "BYTES": TensorProto.STRING,
    }
    graph = helper.make_graph(
        [helper.make_node("Identity", [f"in_{k}"], [f"out_{k}"]) for k in kinds],
        "mixed",
        [_value(f"in_{k}", t, ["n"]) for k, t in kinds.items()],
        [_value(f"out_{k}", t, ["n"]) for k, t in kinds.items()],
    )
    return Artifact({"nested/only.onnx": _serialized(graph)})


def table(seed: int, rows: int, columns: int) -> Artifact:
    """y = row i of a table of weights beside the model: large to load, light to ask."""
    weights = np.random.default_rng(seed).standard_normal((rows, columns), "f4")
    return Artifact({"model.onnx": table_graph(rows, columns, 0.0), "weights.bin": weights.tobytes()})


def table_graph(rows: int, columns: int, plus: float) -> bytes:
    """The model of ``table``: y = row i of ``weights.bin`` + ``plus``, so that versions may share their weights."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[rows, columns])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "weights.bin"), ("offset", "0"), ("length", str(rows * columns * 4))):
        tensor.external_data.add(key=key, value=value)
    added = helper.make_tensor("plus", TensorProto.FLOAT, [], [plus])
    graph = helper.make_graph(
        [helper.make_node("Gather", ["w", "i"], ["row"]), helper.make_node("Add", ["row", "plus"], ["y"])],
        "table",
        [_value("i", TensorProto.INT64, ["n"])],
        [_value("y", TensorProto.FLOAT, ["n", columns])],
        [tensor, added],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(model.SerializeToString())


def endless() -> Artifact:
    """An attack: y = x, after a loop of 2**62 rounds at each run, also at the warm-up."""
    values = [_value("i", TensorProto.INT64, []), _value("go_in", TensorProto.BOOL, []), _value("m_in", 1, ["n", 2])]
    again = [helper.make_node("Identity", ["go_in"], ["go_out"]), helper.make_node("Neg", ["m_in"], ["m_out"])]
    outputs = [_value("go_out", TensorProto.BOOL, []), _value("m_out", 1, ["n", 2])]
    body = helper.make_graph(again, "body", values, outputs)
    graph = helper.make_graph(
        [helper.make_node("Loop", ["rounds", "", "x"], ["y"], body=body)],
        "endless",
        [_value("x", TensorProto.FLOAT, ["n", 2])],
        [_value("y", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(np.array(2**62, "i8"), "rounds")],
    )
    return Artifact({"model.onnx": _serialized(graph)})


def asking_for_8_gb() -> Artifact:
    """An attack: a few bytes that ask for a tensor of 8 GB."""
    graph = helper.make_graph(
        [
            helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
            helper.make_node("ReduceSum", ["zeros"], ["nothing"], keepdims=0),
            helper.make_node("Add", ["x", "nothing"], ["y"]),
        ],
        "hungry",
        [_value("x", TensorProto.FLOAT, ["n", 2])],
        [_value("y", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(np.array([2_000_000_000], "i8"), "shape")],
    )
    return Artifact({"model.onnx": _serialized(graph)})
