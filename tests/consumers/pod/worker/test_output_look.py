"""What is seen of a version's outputs."""

import numpy as np

from modelcast.consumers.pod.worker.frames import NOT_FINITE, REPEATED
from modelcast.consumers.pod.worker.models.output_look import LOOKED_BYTES_MAX, OutputLook


def outputs(*values: float) -> dict[str, "np.ndarray"]:  # type: ignore[type-arg]
    return {"y": np.array(values, "f4"), "text": np.array([b"x"], object)}


def test_nan_and_infinity_are_seen() -> None:
    look = OutputLook()
    assert [look.at(b"r%d" % n, outputs(value)) for n, value in enumerate((1.0, np.nan, 2.0, np.inf))] == [
        0,
        NOT_FINITE,
        0,
        NOT_FINITE,
    ]


def test_numbers_whose_squares_are_too_large_are_finite() -> None:
    assert OutputLook().at(b"a", outputs(3e38, -3e38)) == 0


def test_nan_among_many_numbers_is_seen() -> None:
    assert OutputLook().at(b"a", outputs(*[0.0] * 100, np.nan)) == NOT_FINITE


def test_the_same_answer_to_another_request_is_seen() -> None:
    look = OutputLook()
    assert look.at(b"a", outputs(1.0)) == 0
    assert look.at(b"a", outputs(1.0)) == 0, "the same request again"
    assert look.at(b"b", outputs(1.0)) == REPEATED
    assert look.at(b"c", outputs(2.0)) == 0


def test_texts_alone_are_not_looked_at() -> None:
    look = OutputLook()
    assert [look.at(request, {"text": np.array([b"x"], object)}) for request in (b"a", b"b")] == [0, 0]


def test_of_a_large_output_only_the_beginning_is_looked_at() -> None:
    large = np.zeros(LOOKED_BYTES_MAX, "f4")
    large[-1] = np.nan
    assert OutputLook().at(b"a", {"y": large}) == 0
    large[0] = np.nan
    assert OutputLook().at(b"a", {"y": large}) == NOT_FINITE
