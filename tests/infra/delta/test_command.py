"""``modelcast delta`` as people type it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.infra.delta.pairs import adam_step, safetensors_bytes, weights, write


def modelcast(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "modelcast.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    values = weights(50_000)
    old = write(tmp_path / "old", safetensors_bytes({"t": ("F32", values)}))
    return old, write(tmp_path / "new", safetensors_bytes({"t": ("F32", adam_step(values, 1e-5))}))


def test_made_shown_and_applied(pair: tuple[Path, Path], tmp_path: Path) -> None:
    made = modelcast("delta", "make", *pair, tmp_path / "d", "-o", "json")
    shown = modelcast("delta", "info", tmp_path / "d", "-o", "json")
    assert made.returncode == shown.returncode == 0, made.stderr
    assert json.loads(made.stdout) == json.loads(shown.stdout)
    assert json.loads(shown.stdout)["ratio"] > 1.5
    applied = modelcast("delta", "apply", pair[0], tmp_path / "d", tmp_path / "out")
    assert applied.returncode == 0, applied.stderr
    assert applied.stdout == ""
    assert (tmp_path / "out").read_bytes() == pair[1].read_bytes()


def test_a_wrong_base_ends_with_4_and_says_which_is_right(pair: tuple[Path, Path], tmp_path: Path) -> None:
    modelcast("delta", "make", *pair, tmp_path / "d")
    applied = modelcast("delta", "apply", pair[1], tmp_path / "d", tmp_path / "out")
    assert applied.returncode == 4
    assert "sha256:" in applied.stderr
    assert not (tmp_path / "out").exists()


def test_another_digest_than_asked_for_ends_with_4(pair: tuple[Path, Path], tmp_path: Path) -> None:
    modelcast("delta", "make", *pair, tmp_path / "d")
    applied = modelcast("delta", "apply", pair[0], tmp_path / "d", tmp_path / "out", "--digest", "sha256:" + 64 * "0")
    assert applied.returncode == 4


def test_a_file_against_a_folder_ends_with_2(pair: tuple[Path, Path], tmp_path: Path) -> None:
    assert modelcast("delta", "make", pair[0], tmp_path, tmp_path / "d").returncode == 2
    assert modelcast("delta", "info", pair[0]).returncode == 4


def test_a_delta_is_not_written_over_what_it_is_made_of(pair: tuple[Path, Path], tmp_path: Path) -> None:
    old, new = pair
    before = old.read_bytes(), new.read_bytes()
    for out in (old, new):
        ended = modelcast("delta", "make", old, new, out)
        assert ended.returncode == 2
        assert "written over" in ended.stderr
    assert (old.read_bytes(), new.read_bytes()) == before
    folder = tmp_path / "folder"
    folder.mkdir()
    assert modelcast("delta", "make", folder, folder, folder / "delta").returncode == 2
    assert list(folder.iterdir()) == []
