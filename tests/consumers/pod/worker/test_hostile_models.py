"""ONNX files that reach for what is not theirs: the ONNX Runtime that is installed refuses them."""

import tomllib
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from modelcast.consumers.pod.failures import failure_code
from modelcast.consumers.pod.worker.models.onnx import OnnxRuntime


def stealing(location: str) -> onnx.ModelProto:
    """y = x + four bytes of the file at ``location``."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", "4")):
        tensor.external_data.add(key=key, value=value)
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", values[:1], values[1:], [tensor])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@pytest.mark.parametrize("how", ["above", "absolute", "link", "memory"])
def test_no_model_reads_what_lies_outside_of_its_folder(how: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    secret = tmp_path / "secret.bin"
    secret.write_bytes(np.array([42.0], "f4").tobytes())
    (folder / "link.bin").symlink_to(secret)
    locations = {"above": "../secret.bin", "absolute": str(secret), "link": "link.bin"}
    location = locations.get(how, "*/_ORT_MEM_ADDR_/*")
    (folder / "model.onnx").write_bytes(stealing(location).SerializeToString())
    with pytest.raises(Exception) as caught:
        OnnxRuntime(folder / "model.onnx", name="model.onnx", intra_op_threads=1)
    assert failure_code(caught.value) == "load_failed", caught.value


def test_what_is_installed_is_not_older_than_what_refuses_them() -> None:
    project = tomllib.loads((Path(__file__).parents[4] / "pyproject.toml").read_text())["project"]
    assert "onnxruntime>=1.31.1" in project["optional-dependencies"]["pod"]
    assert tuple(map(int, version("onnxruntime").split("."))) >= (1, 31, 1)
