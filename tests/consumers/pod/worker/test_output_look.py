"""What is seen of a version's outputs."""

import numpy as np

from modelcast.consumers.pod.worker.frames import EMPTY, NOT_FINITE, REPEATED, SCORE_SHIFT
from modelcast.consumers.pod.worker.models.output_look import LOOKED_BYTES_MAX, OutputLook
from modelcast.schemas.evidence.predictions import score_bin

FLAGS = NOT_FINITE | REPEATED | EMPTY


def outputs(*values: float) -> dict[str, "np.ndarray"]:  # type: ignore[type-arg]
    return {"y": np.array(values, "f4"), "text": np.array([b"x"], object)}


def test_nan_and_infinity_are_seen() -> None:
    look = OutputLook()
    assert [look.at(b"r%d" % n, outputs(value)) & FLAGS for n, value in enumerate((1.0, np.nan, 2.0, np.inf))] == [
        0,
        NOT_FINITE,
        0,
        NOT_FINITE,
    ]


def test_numbers_whose_squares_are_too_large_are_finite() -> None:
    assert OutputLook().at(b"a", outputs(3e38, -3e38)) & FLAGS == 0


def test_nan_among_many_numbers_is_seen() -> None:
    assert OutputLook().at(b"a", outputs(*[0.0] * 100, np.nan)) & FLAGS == NOT_FINITE


def test_the_same_answer_to_another_request_is_seen() -> None:
    look = OutputLook()
    assert look.at(b"a", outputs(1.0)) & FLAGS == 0
    assert look.at(b"a", outputs(1.0)) & FLAGS == 0, "the same request again"
    assert look.at(b"b", outputs(1.0)) & FLAGS == REPEATED
    assert look.at(b"c", outputs(2.0)) & FLAGS == 0


def test_texts_alone_are_not_looked_at() -> None:
    look = OutputLook()
    assert [look.at(request, {"text": np.array([b"x"], object)}) for request in (b"a", b"b")] == [0, 0]


def test_of_a_large_output_only_the_beginning_is_looked_at() -> None:
    large = np.zeros(LOOKED_BYTES_MAX, "f4")
    large[-1] = np.nan
    assert OutputLook().at(b"a", {"y": large}) & FLAGS == 0
    large[0] = np.nan
    assert OutputLook().at(b"a", {"y": large}) & FLAGS == NOT_FINITE


def test_an_answer_that_holds_nothing_is_seen() -> None:
    assert OutputLook().at(b"a", {"y": np.zeros((0, 3), "f4"), "text": np.array([], object)}) == EMPTY
    assert OutputLook().at(b"a", {"y": np.zeros((0, 3), "f4"), "text": np.array([b"x"], object)}) == 0


def test_the_score_is_the_last_number_of_the_first_row_of_the_first_output_of_floats() -> None:
    def bin_of(**arrays: "np.ndarray") -> int:  # type: ignore[type-arg]
        return (OutputLook().at(b"a", arrays) >> SCORE_SHIFT) - 1

    label, chances = np.array([1, 0]), np.array([[0.1, 0.9], [0.7, 0.3]], "f4")
    assert bin_of(label=label, chances=chances) == score_bin(0.9)
    assert bin_of(label=np.array([7, 1])) == score_bin(7.0)
    assert bin_of(one=np.array(0.25)) == score_bin(0.25)
    assert bin_of(text=np.array([b"x"], object)) == -1
    assert bin_of(one=np.array([np.nan])) == -1
