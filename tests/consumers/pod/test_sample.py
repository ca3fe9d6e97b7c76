"""Recorded samples: read, and compared with what a version answers."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcast.consumers.pod.engine import NotLoadable
from modelcast.consumers.pod.sample import answer_difference, read_samples

Y = {"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [1.0, -200.0]}


def compared(recorded: dict[str, Any], answered: dict[str, Any], **sample: Any) -> str:
    body = {"request": {"inputs": []}, "response": {"outputs": [recorded]}, **sample}
    (read,) = read_samples(json.dumps(body).encode())
    return answer_difference(
        read, {"outputs": [{"name": "more", "datatype": "BOOL", "shape": [], "data": [True]}, answered]}
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({}, ""),
        ({"data": [[1.0005, -200.1]]}, ""),
        ({"data": [1.0, -201.0]}, "output 'y' is -201 at 1, recorded is -200"),
        ({"data": [None, -200.0]}, "output 'y' is not finite at 0, recorded is 1.0"),
        ({"data": [1.0]}, "has 1 values, recorded are 2"),
        ({"data": ["1.0", -200.0]}, "is '1.0' at 0, recorded is '1.0'"),
        ({"data": [True, -200.0]}, ""),
        ({"data": None}, "has 1 values"),
        ({"shape": [2, 1]}, "has shape [2, 1], recorded is [1, 2]"),
        ({"datatype": "FP64"}, "has datatype FP64, recorded is FP32"),
        ({"name": "z"}, "no output 'y'"),
    ],
)
def test_the_first_difference_is_said(change: dict[str, Any], says: str) -> None:
    found = compared(Y, {**Y, **change})
    assert found == says or (says and says in found)


def test_the_tolerance_is_the_artifacts_own() -> None:
    other = {**Y, "data": [1.0, -201.0]}
    assert compared(Y, other, relative=0.01) == ""
    assert compared(Y, other, relative=0, absolute=1) == ""
    assert "tolerance: relative 0, absolute 0.5" in compared(Y, other, relative=0, absolute=0.5)


@pytest.mark.parametrize(("datatype", "data", "other"), [("BYTES", ["cat"], ["dog"]), ("BOOL", [True], [False])])
def test_what_is_no_number_must_be_the_same(datatype: str, data: list[Any], other: list[Any]) -> None:
    recorded = {"name": "y", "datatype": datatype, "shape": [1], "data": data}
    assert compared(recorded, recorded) == ""
    assert "recorded is" in compared(recorded, {**recorded, "data": other}, relative=10, absolute=10)


def test_a_recorded_null_wants_what_is_not_finite() -> None:
    recorded = {**Y, "data": [None, 1.0]}
    assert compared(recorded, recorded) == ""
    assert "recorded is not finite" in compared(recorded, {**Y, "data": [0.0, 1.0]})


@given(st.lists(st.none() | st.floats(-1e6, 1e6), max_size=8), st.floats(0, 0.5), st.floats(0, 1))
def test_an_answer_never_differs_from_itself(data: list[float | None], relative: float, absolute: float) -> None:
    recorded = {**Y, "shape": [len(data)], "data": data}
    assert compared(recorded, recorded, relative=relative, absolute=absolute) == ""


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8), st.integers(0, 7), st.floats(1.1, 9))
def test_one_value_off_by_more_than_the_tolerance_is_found(data: list[float], at: int, off: float) -> None:
    other = list(data)
    other[at % len(data)] += off
    recorded = {**Y, "shape": [len(data)], "data": data}
    assert compared(recorded, {**recorded, "data": other}, relative=0, absolute=1.0) != ""


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"3", b"[]", b"[{}]", b'{"request": 3}', b'{"request": {}, "response": 3}',
        b'{"request": {}, "response": {"outputs": [{"name": "y"}]}}', b'{"request": {}, "part": 3}',
        b'{"request": {}, "relative": -1}', b'{"request": {}, "absolute": true}',
    ],
)  # fmt: skip
def test_a_damaged_sample_is_named(body: bytes) -> None:
    with pytest.raises(NotLoadable) as caught:
        read_samples(body)
    assert caught.value.subject == "modelcast/sample.json"


def test_a_file_may_hold_several_for_several_parts() -> None:
    one, two = read_samples(b'[{"request": {}, "part": "encoder"}, {"request": {"id": "2"}}]')
    assert (one.part, one.outputs, two.part, two.request) == ("encoder", (), "", {"id": "2"})
    assert answer_difference(one, {}) == ""
