"""V2 requests against real models, in this process."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelcast.consumers.pod.worker.frames import ALL_JSON
from modelcast.consumers.pod.worker.models.version import LoadedVersion, VersionFiles
from modelcast.schemas.errors import ContentError
from tests.consumers.pod.models import Artifact, adder, matmul, mixed


def opened(folder: Path) -> LoadedVersion:
    return LoadedVersion(VersionFiles(folder), model="m", version=3, intra_op_threads=1)


def loaded(artifact: Artifact, home: Path) -> LoadedVersion:
    return opened(artifact.put(home))


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> LoadedVersion:
    return loaded(adder(2.0), tmp_path_factory.mktemp("two"))


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> LoadedVersion:
    return loaded(mixed(), tmp_path_factory.mktemp("every"))


def ask(model: LoadedVersion, request: object, raw: bytes | None = None) -> tuple[int, Any, bytes]:
    body = json.dumps(request).encode()
    status, split, answer = model.infer(0, body + (raw or b""), ALL_JSON if raw is None else len(body))
    if split == ALL_JSON:
        return status, json.loads(answer), b""
    return status, json.loads(answer[:split]), answer[split:]


X = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2.5]}


def test_an_answer_names_model_version_and_id(two: LoadedVersion) -> None:
    status, answer, _ = ask(two, {"id": "q7", "inputs": [X]})
    assert status == 200
    assert answer == {
        "model_name": "m",
        "model_version": "3",
        "id": "q7",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [3.0, 4.5]}],
    }


def test_data_may_be_nested(two: LoadedVersion) -> None:
    status, answer, _ = ask(two, {"inputs": [{**X, "shape": [2, 2], "data": [[1, 2], [3, 4]]}]})
    assert (status, answer["outputs"][0]["data"]) == (200, [3, 4, 5, 6])


def test_metadata_says_what_v2_asks_for(two: LoadedVersion) -> None:
    assert two.metadata == {
        "name": "m",
        "versions": ["3"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}],
    }


VALUES: dict[str, list[Any]] = {
    "BOOL": [True, False],
    "UINT8": [0, 255],
    "UINT16": [0, 65535],
    "UINT32": [0, 2**32 - 1],
    "UINT64": [0, 2**64 - 1],
    "INT8": [-128, 127],
    "INT16": [-32768, 32767],
    "INT32": [-(2**31), 2**31 - 1],
    "INT64": [-(2**63), 2**63 - 1],
    "FP16": [-0.5, 65504.0],
    "FP32": [1.5, -3.0e38],
    "FP64": [1e308, -5e-324],
    "BYTES": ["grüße", "nul\0 end\0"],
}
NUMPY = ["?", "u1", "<u2", "<u4", "<u8", "i1", "<i2", "<i4", "<i8", "<f2", "<f4", "<f8"]
DTYPES = dict(zip(VALUES, NUMPY, strict=False))


def test_every_datatype_comes_back_as_it_went_in_as_json(every: LoadedVersion) -> None:
    inputs = [{"name": f"in_{k}", "datatype": k, "shape": [2], "data": v} for k, v in VALUES.items()]
    status, answer, _ = ask(every, {"inputs": inputs})
    assert status == 200, answer
    got = {o["name"]: o["data"] for o in answer["outputs"]}
    assert got == {f"out_{k}": pytest.approx(v) if k.startswith("FP") else v for k, v in VALUES.items()}


def test_every_datatype_comes_back_as_it_went_in_as_bytes(every: LoadedVersion) -> None:
    raws = {k: np.array(VALUES[k], d).tobytes() for k, d in DTYPES.items()}
    raws["BYTES"] = b"".join(struct.pack("<I", len(s.encode())) + s.encode() for s in VALUES["BYTES"])
    inputs = [
        {"name": f"in_{k}", "datatype": k, "shape": [2], "parameters": {"binary_data_size": len(r)}}
        for k, r in raws.items()
    ]
    request = {"inputs": inputs, "parameters": {"binary_data_output": True}}
    status, answer, tail = ask(every, request, b"".join(raws.values()))
    assert status == 200, answer
    at = 0
    for output in answer["outputs"]:
        size = output["parameters"]["binary_data_size"]
        assert tail[at : at + size] == raws[output["name"].removeprefix("out_")], output["name"]
        at += size
    assert at == len(tail)


def test_only_the_outputs_asked_for_come_and_each_as_it_was_asked(every: LoadedVersion) -> None:
    inputs = [{"name": f"in_{k}", "datatype": k, "shape": [2], "data": v} for k, v in VALUES.items()]
    outputs = [{"name": "out_INT8"}, {"name": "out_UINT8", "parameters": {"binary_data": True}}]
    status, answer, tail = ask(every, {"inputs": inputs, "outputs": outputs})
    assert status == 200
    assert [o["name"] for o in answer["outputs"]] == ["out_INT8", "out_UINT8"]
    assert (answer["outputs"][0]["data"], tail) == ([-128, 127], b"\x00\xff")


BAD: list[Any] = [
    [],
    {},
    {"inputs": 3},
    {"inputs": [None]},
    {"inputs": []},
    {"inputs": [X, X]},
    {"inputs": [{**X, "name": "z"}]},
    {"inputs": [{**X, "name": None}]},
    {"inputs": [{**X, "datatype": "FP64"}]},
    {"inputs": [{**X, "datatype": None}]},
    {"inputs": [{**X, "shape": [2]}]},
    {"inputs": [{**X, "shape": [1, 3], "data": [1, 2, 3]}]},
    {"inputs": [{**X, "shape": [2**40, 2]}]},
    {"inputs": [{**X, "shape": [-1, 2]}]},
    {"inputs": [{**X, "shape": [True, 2]}]},
    {"inputs": [{**X, "shape": "12"}]},
    {"inputs": [{**X, "shape": [0, 2]}]},
    {"inputs": [{**X, "data": [1]}]},
    {"inputs": [{**X, "data": "ab"}]},
    {"inputs": [{**X, "data": ["1", "2"]}]},
    {"inputs": [{**X, "data": [None, 1]}]},
    {"inputs": [{**X, "data": [True, 1]}]},
    {"inputs": [{**X, "data": [[1], 2]}]},
    {"inputs": [{**X, "data": [[1, 2], []]}]},
    {"inputs": [{**X, "parameters": {"binary_data_size": 8}}]},
    {"inputs": [{**X, "parameters": {"binary_data_size": "8"}}]},
    {"inputs": [X], "outputs": [{"name": "z"}]},
    {"inputs": [X], "outputs": [{"name": "y"}, {"name": "y"}]},
    {"inputs": [X], "outputs": 5},
]


@pytest.mark.parametrize("request_body", BAD, ids=lambda b: json.dumps(b)[:70])
def test_a_bad_request_is_answered_with_400_and_a_message(two: LoadedVersion, request_body: object) -> None:
    status, answer, _ = ask(two, request_body)
    assert status == 400, answer
    assert answer["error"]


@pytest.mark.parametrize(("datatype", "value"), [("UINT8", 256), ("INT8", 1.0), ("INT64", 2**63), ("FP16", 10**400)])
def test_values_outside_of_the_datatype_are_refused(every: LoadedVersion, datatype: str, value: object) -> None:
    inputs = [{"name": f"in_{k}", "datatype": k, "shape": [2], "data": v} for k, v in VALUES.items()]
    for item in inputs:
        if item["datatype"] == datatype:
            item["data"] = [value, value]
    status, answer, _ = ask(every, {"inputs": inputs})
    assert status == 400
    assert datatype in answer["error"] or "JSON" in answer["error"]


@pytest.mark.parametrize(
    ("sizes", "raw"),
    [(8, b"1234567"), (4, b"12345678"), (8, b"123456789"), (-1, b"12345678"), (True, b"12345678"), (2**40, b"")],
)
def test_binary_sizes_that_do_not_fit_are_refused(two: LoadedVersion, sizes: Any, raw: bytes) -> None:
    item = {"name": "x", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": sizes}}
    assert ask(two, {"inputs": [item]}, raw)[0] == 400


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["x", "y", "FP32"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["inputs", "outputs", "name", "data", "shape", "datatype", "parameters", "binary_data_size"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=400, deadline=None)
@given(body=st.binary(max_size=60) | JSON_VALUES.map(lambda v: json.dumps(v).encode()), split=st.integers(0, 70))
def test_no_body_at_all_is_anything_but_answered(two: LoadedVersion, body: bytes, split: int) -> None:
    for json_size in (ALL_JSON, split):
        status, _, answer = two.infer(0, body, json_size)
        assert status in {200, 400}
        json.loads(answer)


def test_a_trained_scikit_learn_model_predicts_as_it_does_itself(tmp_path: Path) -> None:
    from skl2onnx import to_onnx
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype("f4")
    trained = LogisticRegression(max_iter=1000).fit(x[:200], y[:200])
    exported = to_onnx(trained, x[:1], options={"zipmap": False}).SerializeToString()
    model = loaded(Artifact({"digits.onnx": exported}), tmp_path)
    item = {"name": "X", "datatype": "FP32", "shape": [50, 64], "data": x[:50].tolist()}
    status, answer, _ = ask(model, {"inputs": [item]})
    assert status == 200
    labels, probabilities = answer["outputs"]
    assert labels["data"] == trained.predict(x[:50]).tolist()
    np.testing.assert_allclose(probabilities["data"], trained.predict_proba(x[:50]).ravel(), atol=1e-5)


def test_weights_beside_the_model_are_found(tmp_path: Path) -> None:
    model = loaded(matmul(1, 8, 4), tmp_path)
    weights = np.random.default_rng(1).standard_normal((8, 4), "f4")
    x = np.arange(8, dtype="f4")
    item = {"name": "x", "datatype": "FP32", "shape": [1, 8], "data": x.tolist()}
    _, answer, _ = ask(model, {"inputs": [item]})
    np.testing.assert_allclose(answer["outputs"][0]["data"], x @ weights, rtol=1e-5)


def test_weights_outside_of_the_artifact_are_refused(tmp_path: Path) -> None:
    artifact = matmul(1, 8, 4)
    outside = {k: v.replace(b"weights.bin", b"../wights.b") for k, v in artifact.files.items() if k == "model.onnx"}
    escaping = Artifact(outside)
    (escaping.put(tmp_path).parent / "wights.b").write_bytes(artifact.files["weights.bin"])
    with pytest.raises(ContentError, match="can't load"):
        opened(tmp_path / escaping.digest[7:] / "files")


def test_garbage_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ContentError, match="can't load"):
        loaded(Artifact({"model.onnx": b"\x08\x07garbage" * 50}), tmp_path)
