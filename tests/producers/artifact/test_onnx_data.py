"""An ONNX model is published with the files that hold its weights, or not at all."""

import io
import random
from pathlib import Path

import numpy
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from modelcast.producers.artifact import scan
from modelcast.producers.artifact.onnx_data import check_external_data, external_data
from modelcast.schemas.errors import Refused


def model(*, inside: bool = False) -> onnx.ModelProto:
    weights = numpy_helper.from_array(numpy.arange(4_000, dtype=numpy.float32), "w")
    small = numpy_helper.from_array(numpy.arange(300, dtype=numpy.float32), "c")
    constant = helper.make_node("Constant", [], ["c"], value=small)
    if inside:
        branch = helper.make_graph([constant], "branch", [], [helper.make_tensor_value_info("c", 1, [300])])
        constant = helper.make_node("If", ["x"], ["c"], then_branch=branch, else_branch=branch)
    outputs = [helper.make_tensor_value_info("w", TensorProto.FLOAT, [4_000])]
    return helper.make_model(helper.make_graph([constant], "g", [], outputs, [weights]))


def save(path: Path, made: onnx.ModelProto, location: str = "model.onnx.data") -> None:
    path.parent.mkdir(exist_ok=True)
    onnx.save_model(made, path, save_as_external_data=True, location=location, size_threshold=0, convert_attribute=True)


def test_a_model_and_its_weights_are_carried_together(tmp_path: Path) -> None:
    save(tmp_path / "onnx" / "model.onnx", model())
    assert len(scan(tmp_path).files) == 2
    (tmp_path / "whole").mkdir()
    onnx.save_model(model(), tmp_path / "whole" / "model.onnx")
    assert scan(tmp_path / "whole" / "model.onnx").manifest.framework == "onnx"


@pytest.mark.parametrize("inside", [False, True])
def test_a_model_without_its_weights_is_refused(tmp_path: Path, inside: bool) -> None:
    save(tmp_path / "model.onnx", model(inside=inside))
    with pytest.raises(Refused, match=r"weights lie in 'model\.onnx\.data', which is not there") as caught:
        scan(tmp_path / "model.onnx")
    assert "publish the folder" in caught.value.hint
    (tmp_path / "model.onnx.data").unlink()
    with pytest.raises(Refused, match="not there"):
        scan(tmp_path)


def test_a_model_whose_weights_are_cut_off_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "model.onnx", model())
    data = tmp_path / "model.onnx.data"
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(Refused, match="cut off: "):
        scan(tmp_path)


def test_weights_outside_of_the_folder_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "model.onnx", model())
    whole = (tmp_path / "model.onnx").read_bytes()
    (tmp_path / "model.onnx").write_bytes(whole.replace(b"model.onnx.data", b"../nnx.onnx.dat"))
    with pytest.raises(Refused, match="not there"):
        scan(tmp_path)


def test_damaged_models_are_left_to_pods(tmp_path: Path) -> None:
    save(tmp_path / "model.onnx", model(inside=True))
    whole, rng = (tmp_path / "model.onnx").read_bytes(), random.Random(1)
    for _ in range(3_000):
        data = bytearray(whole)
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            found = external_data(io.BytesIO(data[: rng.randrange(len(data))]))
            check_external_data("m", found or {}, {"model.onnx.data": 1 << 60})
        except Refused as error:
            assert "weights" in error.message
