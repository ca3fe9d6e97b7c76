"""V2's JSON as Triton's gRPC client has it, and back."""

import base64
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException, triton_to_np_dtype

from modelcast.consumers.pod.engine import Unsupported

_NOT_IN_NUMPY = frozenset({"BF16"})
_HINT = "record a sample whose inputs have another datatype, or publish without one"


def inputs_of(request: Mapping[str, Any]) -> list[Any]:
    """The inputs of a V2 request.

    Raises:
        ValueError: it is none, and what is wrong.
        Unsupported: the companion can't ask it.
    """
    try:
        return [_input(item) for item in request["inputs"]]
    except (KeyError, TypeError, ValueError, OverflowError, InferenceServerException) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None


def _input(item: Mapping[str, Any]) -> Any:
    datatype, shape = item["datatype"], list(item["shape"])
    kind = triton_to_np_dtype(datatype)
    if kind is None or datatype in _NOT_IN_NUMPY:
        raise Unsupported(f"input {item['name']!r}: the companion can't ask datatype {datatype}", hint=_HINT)
    made = triton.InferInput(item["name"], shape, datatype)
    if datatype == "BYTES":
        decode = base64.b64decode if item.get("parameters", {}).get("content_type") == "base64" else str.encode
        flat = np.array(item["data"], dtype=np.object_).ravel()
        made.set_data_from_numpy(np.array([decode(each) for each in flat], dtype=np.object_).reshape(shape))
    else:
        made.set_data_from_numpy(np.array(item["data"], dtype=kind).reshape(shape))
    return made


def answer_of(result: Any) -> dict[str, Any]:
    """V2's answer in JSON; ``null`` stands for a number that is not finite, as in the JSON that servers answer."""
    return {"outputs": [_output(result, output) for output in result.get_response().outputs]}


def _output(result: Any, output: Any) -> dict[str, Any]:
    data = [_value(each) for each in result.as_numpy(output.name).ravel().tolist()]
    return {"name": output.name, "datatype": output.datatype, "shape": list(output.shape), "data": data}


def _value(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return None if isinstance(value, float) and not math.isfinite(value) else value
