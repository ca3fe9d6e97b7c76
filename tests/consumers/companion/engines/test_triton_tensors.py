"""V2's JSON to Triton's client and back."""

from typing import Any

import pytest

pytest.importorskip("tritonclient.grpc")
from tritonclient.grpc import service_pb2

from modelcast.consumers.companion.engines.triton_tensors import answer_of, inputs_of
from modelcast.consumers.pod.engine import Unsupported


class Result:
    """An answer of the server, as the client gives it out."""

    def __init__(self, **outputs: Any) -> None:
        self._values = {name: values for name, (_, values) in outputs.items()}
        tensors = [
            service_pb2.ModelInferResponse.InferOutputTensor(name=name, datatype=datatype, shape=values.shape)
            for name, (datatype, values) in outputs.items()
        ]
        self._response = service_pb2.ModelInferResponse(outputs=tensors)

    def get_response(self) -> Any:
        return self._response

    def as_numpy(self, name: str) -> Any:
        return self._values[name]


def test_an_answer_says_null_where_a_number_is_not_finite_and_text_for_bytes() -> None:
    import numpy as np

    result = Result(
        y=("FP32", np.array([[1.5, float("nan")], [float("inf"), -2.0]], "f4")),
        s=("BYTES", np.array([b"cat", b"\xff"], dtype=np.object_)),
    )
    assert answer_of(result) == {
        "outputs": [
            {"name": "y", "datatype": "FP32", "shape": [2, 2], "data": [1.5, None, None, -2.0]},
            {"name": "s", "datatype": "BYTES", "shape": [2], "data": ["cat", "\ufffd"]},
        ]
    }


@pytest.mark.parametrize(
    ("item", "raw"),
    [
        ({"datatype": "INT32", "shape": [2], "data": [1, 2]}, b"\1\0\0\0\2\0\0\0"),
        ({"datatype": "INT32", "shape": [1, 2], "data": [[1, 2]]}, b"\1\0\0\0\2\0\0\0"),
        ({"datatype": "BOOL", "shape": [1], "data": [True]}, b"\1"),
        ({"datatype": "BYTES", "shape": [1], "data": ["hi"]}, b"\2\0\0\0hi"),
        (
            {"datatype": "BYTES", "shape": [1], "data": ["aGk="], "parameters": {"content_type": "base64"}},
            b"\2\0\0\0hi",
        ),
    ],
)
def test_an_input_is_asked_with_its_bytes(item: dict[str, Any], raw: bytes) -> None:
    (made,) = inputs_of({"inputs": [{"name": "x", **item}]})
    assert made._get_content() == raw


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"inputs": "none"},
        {"inputs": [{}]},
        {"inputs": [{"name": "x", "datatype": "INT32", "shape": [3], "data": [1]}]},
        {"inputs": [{"name": "x", "datatype": "INT32", "shape": [1], "data": ["a"]}]},
        {"inputs": [{"name": "x", "datatype": "BYTES", "shape": [1], "data": [7]}]},
    ],
)
def test_what_is_no_request_is_damaged(request_: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        inputs_of(request_)


@pytest.mark.parametrize("datatype", ["BF16", "FP31"])
def test_a_datatype_that_the_companion_can_not_ask_is_its_own_limit(datatype: str) -> None:
    with pytest.raises(Unsupported, match=f"input 'x': the companion can't ask datatype {datatype}") as caught:
        inputs_of({"inputs": [{"name": "x", "datatype": datatype, "shape": [1], "data": [1]}]})
    assert "record a sample" in caught.value.hint
