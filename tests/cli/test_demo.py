"""The demo: its models are real and can be told apart, its promises are judged, and all of it runs."""

import json
import sys
from pathlib import Path
from subprocess import run

import numpy as np
import pytest

from modelcast.cli.demo import wide
from modelcast.cli.demo.answers import MODEL_FILE, Answers, infer
from modelcast.cli.demo.outcome import is_small
from modelcast.cli.demo.screen import summary_table
from modelcast.cli.demo.script import ROLLBACK, Outcome
from modelcast.cli.demo.watch import Crossing
from modelcast.deltas import codec as delta
from modelcast.infra.local.layout import inherited_env
from tests.cli.test_tables import shown

MIB = 1024 * 1024


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


def test_the_large_models_tensors_are_found_beside_its_graph(small_wide: list[Path]) -> None:
    found = delta.layouts_of(small_wide[0])[wide.WEIGHTS_FILE]
    assert sum(tensor.size_bytes for tensor in found.tensors) == weights(small_wide[0]).nbytes


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


@pytest.mark.parametrize(
    ("moved", "total", "small"), [(1 * MIB, 68 * MIB, True), (7 * MIB, 68 * MIB, False), (0, 68 * MIB, False)]
)
def test_a_delta_is_what_moves_little_but_something(moved: int, total: int, small: bool) -> None:
    fine = Crossing(MIB, 67 * MIB, 68 * MIB, "delta from 1")
    assert is_small({"eu": fine, "us": Crossing(moved, total - moved, total, "")}) is small


def test_the_closing_table_tells_bytes_and_ways_once_where_regions_agree() -> None:
    whole, far = Crossing(68 * MIB, 0, 68 * MIB, "whole"), Crossing(MIB, 67 * MIB, 68 * MIB, "delta from 1")
    outcome = Outcome(
        seconds_to_serving={
            "1": {"eu": 1.0, "us": 2.0},
            ROLLBACK: {"eu": 0.5, "us": 0.4},
            "digits-wide/2": {"eu": 3.0},
        },
        transfers={"1": {"eu": whole, "us": whole}, "digits-wide/2": {"eu": whole, "us": far}},
    )
    _, first, rollback, second = shown(summary_table(outcome, "digits"), columns=160)
    assert first.split() == ["digits/1", "1.0", "s", "2.0", "s", "68.0", "MiB", "0", "B", "whole"]
    assert rollback.split()[-3:] == ["-", "-", "-"]
    assert "68.0 MiB, 1.0 MiB" in second
    assert "whole, delta from 1" in second


@pytest.mark.integration
@pytest.mark.timeout(600)
def test_the_whole_demo_with_one_region_and_one_pod(tmp_path: Path) -> None:
    summary = tmp_path / "summary.json"
    arguments = ["demo", "--regions", "eu", "--pods", "1", "--json", str(summary)]
    done = run(
        [sys.executable, "-m", "modelcast.cli.main", *arguments],
        capture_output=True, text=True, cwd=tmp_path, env=inherited_env(), timeout=500, check=False,
    )  # fmt: skip
    assert summary.exists(), done.stderr
    outcome = json.loads(summary.read_bytes())
    # How often pods are asked is the machine's promise, not ours.
    broken = [text for text in outcome["broken"] if "times a second" not in text]
    assert broken == [], done.stderr
    assert (outcome["requests_failed"], outcome["wrong_version_answers"]) == (0, 0)
    assert done.returncode == int(bool(outcome["broken"]))
    first, second = outcome["transfers"]["digits-wide/1"]["eu"], outcome["transfers"]["digits-wide/2"]["eu"]
    assert first["bytes_total"] > 64 * MIB
    assert 0 < second["bytes_moved"] < second["bytes_total"] / 10
    assert second["bytes_moved"] + second["bytes_saved"] == second["bytes_total"]
    assert "delta from 1" in second["way"]
    assert "delta from 1" in done.stdout
