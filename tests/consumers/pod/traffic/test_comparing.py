"""Whether a copy was answered as the control answered."""

import struct

import orjson
import pytest

from modelcast.consumers.pod.traffic.comparing import answers_agree
from modelcast.consumers.pod.worker.frames import ALL_JSON


def answer(*values: float | None, version: str = "1", name: str = "y") -> bytes:
    output = {"name": name, "datatype": "FP32", "shape": [len(values)], "data": list(values)}
    return orjson.dumps({"model_name": "m", "model_version": version, "outputs": [output]})


def binary(*values: float, datatype: str = "FP32") -> tuple[bytes, int]:
    raw = struct.pack(f"<{len(values)}{'f' if datatype == 'FP32' else 'e'}", *values)
    output = {"name": "y", "datatype": datatype, "shape": [len(values)], "parameters": {"binary_data_size": len(raw)}}
    head = orjson.dumps({"model_name": "m", "outputs": [output]})
    return head + raw, len(head)


@pytest.mark.parametrize(
    ("other", "agree"),
    [
        (answer(1.0, 2.0, version="2"), True),
        (answer(1.0005, 2.0), True),
        (answer(1.1, 2.0), False),
        (answer(1.0, None), False),
        (answer(1.0), False),
        (answer(1.0, 2.0, name="z"), False),
        (b"no JSON", False),
        (b"[]", False),
        (b'{"error": "x"}', False),
    ],
)
def test_answers_agree_within_the_tolerance_of_samples(other: bytes, agree: bool) -> None:
    assert answers_agree(answer(1.0, 2.0), ALL_JSON, other, ALL_JSON) is agree


def test_binary_numbers_are_compared_as_numbers_and_with_json() -> None:
    assert answers_agree(*binary(1.0, 2.0), *binary(1.0004, 2.0))
    assert not answers_agree(*binary(1.0, 2.0), *binary(1.1, 2.0))
    assert answers_agree(*binary(1.0, 2.0), answer(1.0, 2.0), ALL_JSON)
    assert not answers_agree(*binary(1.0, float("nan")), *binary(1.0, 2.0))
    assert answers_agree(*binary(1.0, 2.0, datatype="FP16"), *binary(1.0, 2.0, datatype="FP16"))
    assert not answers_agree(*binary(1.0, 2.0, datatype="FP16"), *binary(1.0, 2.5, datatype="FP16"))
