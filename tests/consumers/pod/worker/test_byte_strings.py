"""BYTES that are no UTF-8, and inputs of any rank: raw and base64, through ONNX Runtime and a runtime of one's own."""

import base64
import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from modelcast.consumers.pod.worker.frames import ALL_JSON
from modelcast.consumers.pod.worker.models.onnx import OnnxRuntime
from modelcast.consumers.pod.worker.models.runtime import Runtime, TensorSpec
from modelcast.consumers.pod.worker.models.v2_model import V2Model
from modelcast.consumers.pod.worker.tensors import Array

RAW = [b"\xff\0a", b"b\xfec"]


class Reversed:
    """A runtime that gives back its strings, each reversed."""

    platform = "reversed"
    inputs = (TensorSpec("x", "BYTES", (-1,)),)
    outputs = (TensorSpec("y", "BYTES", (-1,)),)

    def run(self, wanted: Sequence[str], feed: Mapping[str, Array]) -> list[Array]:
        values = np.empty(feed["x"].shape, object)
        values[:] = [value[::-1] for value in feed["x"]]
        return [values for _ in wanted]


def model_of(runtime: Runtime) -> V2Model:
    return V2Model(runtime, name="m", version=1)


def compares(tmp_path: Path, values: list[bytes]) -> V2Model:
    """y: whether each of x is the constant of its place."""
    node = helper.make_node("Equal", ["x", "c"], ["y"])
    graph = helper.make_graph(
        [node],
        "compares",
        [helper.make_tensor_value_info("x", TensorProto.STRING, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.BOOL, ["n"])],
        [helper.make_tensor("c", TensorProto.STRING, [len(values)], values)],
    )
    return onnx_model(tmp_path, graph)


def onnx_model(tmp_path: Path, graph: onnx.GraphProto) -> V2Model:
    path = tmp_path / "model.onnx"
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10).SerializeToString()
    )
    return model_of(OnnxRuntime(path, name="model.onnx", intra_op_threads=1))


def raw_request(values: list[bytes], **more: Any) -> tuple[bytes, int]:
    raw = b"".join(struct.pack("<I", len(value)) + value for value in values)
    item = {"name": "x", "datatype": "BYTES", "shape": [len(values)], "parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"inputs": [item], **more}).encode()
    return head + raw, len(head)


def base64_request(texts: list[str]) -> bytes:
    item = {"name": "x", "datatype": "BYTES", "shape": [len(texts)], "data": texts}
    return json.dumps({"inputs": [{**item, "parameters": {"content_type": "base64"}}]}).encode()


def test_strings_that_are_no_utf8_come_back_raw_and_as_base64_in_json() -> None:
    model = model_of(Reversed())
    status, split, body = model.infer(*raw_request(RAW, parameters={"binary_data_output": True}))
    assert (status, body[split:]) == (200, b"".join(struct.pack("<I", 3) + value[::-1] for value in RAW))
    status, split, body = model.infer(*raw_request(RAW))
    (output,) = json.loads(body)["outputs"]
    assert (split, output["parameters"]) == (ALL_JSON, {"content_type": "base64"})
    assert [base64.b64decode(text) for text in output["data"]] == [value[::-1] for value in RAW]
    status, _, body = model.infer(base64_request(output["data"]), ALL_JSON)
    assert [base64.b64decode(text) for text in json.loads(body)["outputs"][0]["data"]] == RAW


def test_text_stays_text_in_json() -> None:
    _, _, body = model_of(Reversed()).infer(*raw_request(["grüße".encode()[:2], b"ab"]))
    (output,) = json.loads(body)["outputs"]
    assert ("parameters" in output, output["data"]) == (False, ["rg", "ba"])


@pytest.mark.parametrize("text", ["not base64!", "YQ=", "ü"])
def test_what_is_no_base64_is_refused(text: str) -> None:
    status, _, body = model_of(Reversed()).infer(base64_request([text]), ALL_JSON)
    assert status == 400
    assert "not base64" in json.loads(body)["error"]


@pytest.mark.parametrize("values", [RAW, [b"\xffabc", b"x"], [b"ab", "ü".encode()], [b"a\0b", b"\0b"]])
def test_onnx_runtime_gets_the_bytes_that_were_sent(tmp_path: Path, values: list[bytes]) -> None:
    status, _, body = compares(tmp_path, values).infer(*raw_request(values))
    assert (status, json.loads(body)["outputs"][0]["data"]) == (200, [True, True])


def test_what_onnx_runtime_can_not_be_given_is_refused_with_the_reason(tmp_path: Path) -> None:
    status, _, body = compares(tmp_path, RAW).infer(*raw_request([b"\xff\0", b"x"]))
    assert status == 400
    assert "no UTF-8, hold zero bytes and differ in length" in json.loads(body)["error"]


def test_onnx_runtimes_own_limit_is_named(tmp_path: Path) -> None:
    tensors = [helper.make_tensor_value_info(name, TensorProto.STRING, ["n"]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "same", tensors[:1], tensors[1:])
    status, _, body = onnx_model(tmp_path, graph).infer(*raw_request([b"\xff"]))
    assert status == 500
    assert "an output is no UTF-8" in json.loads(body)["error"]


@pytest.mark.parametrize("shape", [[], [3], [2, 2]])
def test_an_input_of_any_rank_takes_any(tmp_path: Path, shape: list[int]) -> None:
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "negates", tensors[:1], tensors[1:])
    model = onnx_model(tmp_path, graph)
    size = int(np.prod(shape))
    item = {"name": "x", "datatype": "FP32", "shape": shape, "data": [1.0] * size}
    status, _, body = model.infer(json.dumps({"inputs": [item]}).encode(), ALL_JSON)
    assert status == 200
    assert json.loads(body)["outputs"][0] == {"name": "y", "datatype": "FP32", "shape": shape, "data": [-1.0] * size}
