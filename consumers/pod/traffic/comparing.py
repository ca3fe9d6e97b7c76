"""Whether two versions answer a request alike: pure."""

import math
from array import array
from typing import Any

import orjson

from modelcast.consumers.pod.sample import RecordedSample, answer_difference
from modelcast.consumers.pod.worker.frames import ALL_JSON

_NUMBERS = {"FP32": "f", "FP64": "d"}


def answers_agree(body: bytes, json_size_bytes: int, other: bytes, other_json_size_bytes: int) -> bool:
    """Whether the outputs of two V2 answers are alike, within the tolerance of recorded samples."""
    if body == other:
        return True
    try:
        outputs = tuple(_outputs(body, json_size_bytes))
        answer = {"outputs": _outputs(other, other_json_size_bytes)}
        return not answer_difference(RecordedSample({}, outputs), answer)
    except (ValueError, KeyError, TypeError):  # no V2 answer
        return False


def _outputs(body: bytes, json_size_bytes: int) -> list[dict[str, Any]]:
    at = len(body) if json_size_bytes == ALL_JSON else json_size_bytes
    outputs: list[dict[str, Any]] = orjson.loads(body[:at])["outputs"]
    for output in outputs:
        size_bytes = (output.get("parameters") or {}).get("binary_data_size")
        if size_bytes is not None:
            output["data"] = _values(body[at : at + size_bytes], output["datatype"])
            at += size_bytes
    return outputs


def _values(raw: bytes, datatype: str) -> list[Any]:
    """Numbers with ``None`` for what is not finite, as in JSON; bytes of any other datatype as one element."""
    code = _NUMBERS.get(datatype)
    if code is None:
        return [raw]
    return [number if math.isfinite(number) else None for number in array(code, raw)]
