"""The demo's models are real, and their versions can be told apart."""

from pathlib import Path

import numpy as np
import pytest

from modelcast.cli.demo import wide
from modelcast.cli.demo.answers import MODEL_FILE, Answers, infer


@pytest.fixture
def small_wide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The large model, less wide: both versions' folders."""
    monkeypatch.setattr(wide, "WIDTH", 512)
    return [version.folder for version in wide.train_wide(tmp_path)]


def weights(folder: Path) -> np.ndarray:  # type: ignore[type-arg]
    return np.fromfile(folder / wide.WEIGHTS_FILE, np.float32)


def test_a_new_version_of_the_large_model_changes_little_of_it_all_over_the_file(small_wide: list[Path]) -> None:
    one, two = map(weights, small_wide)
    changed = np.flatnonzero(one != two)
    assert 0 < len(changed) < 0.1 * len(one)
    tenths = np.unique(changed * 10 // len(one))
    assert list(tenths) == list(range(10)), "no tenth of the file stays the same"
    assert (small_wide[0] / MODEL_FILE).read_bytes() == (small_wide[1] / MODEL_FILE).read_bytes()


def test_the_large_model_computes_what_was_trained(small_wide: list[Path]) -> None:
    flat = weights(small_wide[1])
    table = flat[: wide.PIXELS * wide.INKS * wide.WIDTH].reshape(-1, wide.WIDTH)
    head = flat[table.size :].reshape(wide.WIDTH, wide.CLASSES)
    inks = np.random.default_rng(1).integers(0, wide.INKS, (20, wide.PIXELS))
    scores = np.maximum(table[inks + np.arange(wide.PIXELS) * wide.INKS].sum(axis=1), 0) @ head
    expected = np.exp(scores - scores.max(axis=1, keepdims=True))
    expected /= expected.sum(axis=1, keepdims=True)
    got = infer(small_wide[1], (inks / 16).astype(np.float32))
    assert np.allclose(got, expected, atol=1e-4)


def test_an_answer_is_right_for_the_version_that_gave_it_alone(small_wide: list[Path]) -> None:
    answers = Answers(dict(enumerate(small_wide, start=1)), images_max=100)
    for number, folder in enumerate(small_wide, start=1):
        for sample, output in enumerate(infer(folder, answers.inputs).tolist()):
            assert answers.right(number, sample, output)
            assert not answers.right(3 - number, sample, output)
            assert not answers.right(number, sample, output[:-1])
    assert not answers.right(9, 0, [0.1] * 10)
