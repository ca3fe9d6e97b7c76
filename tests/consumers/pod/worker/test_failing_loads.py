"""A load that fails in a worker: for want of what the machine lacks, or for the version itself."""

import json
import resource
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from safetensors.numpy import save

from modelcast.consumers.pod.failures import failure_code
from modelcast.consumers.pod.memory_room import MIB, limit_data
from modelcast.consumers.pod.worker.models.onnx import OnnxRuntime
from modelcast.consumers.pod.worker.models.version import LoadedVersion, VersionFiles
from tests.consumers.pod.asking import X
from tests.consumers.pod.models import Artifact, adder, asking_for_8_gb
from tests.consumers.pod.runtime_package import install

TENSOR = {"name": "x", "datatype": "FP32", "shape": [-1, 2]}
INDEX = {"runtime": "adds", "inputs": [TENSOR], "outputs": [{**TENSOR, "name": "y"}]}
FAILURES = [
    ("raise MemoryError('no room')", "out_of_resources"),
    ("raise OSError(5, 'Input/output error')", "io_error"),
    ("raise RuntimeError('CUDA out of memory. Tried to allocate 2.00 GiB')", "out_of_resources"),
    ("raise RuntimeError('CUDA error: no kernel image is available for execution on the device')", "unsupported"),
    ("raise ValueError('can not load') from OSError(28, 'No space left on device')", "out_of_resources"),
    ("import nowhere_to_be_found", "unsupported"),
    ("raise ValueError('no such layer')", "load_failed"),
    ("raise FileNotFoundError(2, 'No such file or directory', 'vocab.txt')", "load_failed"),
]


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "package"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(install(folder)))


def code_of(artifact: Artifact, home: Path) -> str:
    """What a pod reports of the load; "": it was loaded."""
    try:
        files = VersionFiles(artifact.put(home))
        LoadedVersion(files, model="m", version=1, intra_op_threads=1).warm_up()
    except Exception as error:
        return failure_code(error)
    return ""


def own(how: str) -> Artifact:
    """A version of a runtime of one's own, with a sample."""
    sample = {"request": {"inputs": [X]}}
    return Artifact(
        {
            "weights.safetensors": save({"c": np.array([1], "f4")}),
            "modelcast/pod.json": json.dumps(INDEX).encode(),
            "modelcast/sample.json": json.dumps(sample).encode(),
            "how.txt": how.encode(),
        }
    )


@pytest.mark.parametrize(("code", "blamed"), FAILURES)
@pytest.mark.parametrize("when", ["load", "answer"])
def test_a_runtimes_failure_blames_the_version_only_if_nothing_else_is_to_blame(
    when: str, code: str, blamed: str, tmp_path: Path
) -> None:
    assert code_of(own(f"{when}: {code}"), tmp_path / "cache") == blamed


def test_a_runtime_that_answers_its_sample_is_loaded(tmp_path: Path) -> None:
    assert code_of(own(""), tmp_path / "cache") == ""


def test_a_process_without_file_descriptors_left_does_not_blame_a_model_of_onnx(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(adder(1).files["model.onnx"])
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    failed: Exception | None = None
    try:
        OnnxRuntime(path, name="model.onnx", intra_op_threads=1)
    except Exception as error:
        failed = error
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert failed is not None
    assert failure_code(failed) == "out_of_resources", failed


def test_a_model_of_a_newer_format_than_this_onnx_runtime_knows_is_unsupported(tmp_path: Path) -> None:
    model = onnx.load_from_string(adder(1).files["model.onnx"])
    model.ir_version = 99
    assert code_of(Artifact({"model.onnx": model.SerializeToString()}), tmp_path) == "unsupported"


def test_an_operator_that_this_onnx_runtime_lacks_is_unsupported(tmp_path: Path) -> None:
    node = helper.make_node("NeverHeardOf", ["x"], ["y"], domain="ours")
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([node], "odd", values[:1], values[1:])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ours", 1)]
    body = helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
    assert code_of(Artifact({"model.onnx": body}), tmp_path) == "unsupported"


def test_a_file_that_is_no_model_of_onnx_is_to_blame(tmp_path: Path) -> None:
    assert code_of(Artifact({"model.onnx": b"no model"}), tmp_path) == "load_failed"


def test_a_model_that_cannot_answer_its_smallest_request_for_want_of_memory_is_not_loaded(tmp_path: Path) -> None:
    path = asking_for_8_gb().put(tmp_path)
    limit_data(600 * MIB)
    try:
        version = LoadedVersion(VersionFiles(path), model="m", version=1, intra_op_threads=1)
        with pytest.raises(MemoryError) as failed:
            version.warm_up()
    finally:
        limit_data(None)
    assert failure_code(failed.value) == "out_of_resources"
