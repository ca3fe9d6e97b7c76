"""``modelcast delta`` as people type it."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from modelcast.deltas import codec as delta
from tests.support.processes.forked import run_command
from tests.support.records.pairs import adam_step, safetensors_bytes, weights, write
from tests.support.servers.shared_servers import shared


def modelcast(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    words = list(map(str, arguments))
    done = run_command(shared("forks"), words, folder=Path.cwd(), env=os.environ, seconds=120)
    return subprocess.CompletedProcess(words, *done)


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


def pipe(at: Path) -> Path:
    os.mkfifo(at)
    return at


def listening(at: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as there:
        there.bind(os.path.relpath(at))  # absolute paths of temporary folders may be too long for a socket
    return at


def endless(_: Path) -> Path:
    return Path("/dev/zero")


ODD = pytest.mark.parametrize(
    ("lay", "kind"),
    [(pipe, "a pipe"), (listening, "a socket"), (endless, "a device")],
    ids=["pipe", "socket", "device"],
)


@ODD
@pytest.mark.parametrize(
    "arguments",
    ["make ODD new OUT", "make old ODD OUT", "apply ODD delta OUT", "apply old ODD OUT", "info ODD"],
)
def test_what_is_no_file_is_refused_before_it_is_read(
    pair: tuple[Path, Path], tmp_path: Path, lay: Callable[[Path], Path], kind: str, arguments: str
) -> None:
    odd, made = lay(tmp_path / "odd"), tmp_path / "made"
    delta.make(*pair, tmp_path / "delta")
    names = {"ODD": odd, "OUT": made, "old": pair[0], "new": pair[1], "delta": tmp_path / "delta"}
    ended = modelcast("delta", *(names.get(word, word) for word in arguments.split()))
    assert ended.returncode == 2
    assert f"error {odd}: this is {kind}, not a file" in ended.stderr
    assert "  → write what it gives into a file first" in ended.stderr
    assert not made.exists()


@pytest.mark.parametrize("side", ["old", "new"])
@pytest.mark.parametrize("name", ["pipe", "model.onnx"])
def test_a_pipe_in_a_folder_is_refused_before_anything_is_read(tmp_path: Path, side: str, name: str) -> None:
    for folder in ("old", "new"):
        (tmp_path / folder / "deep").mkdir(parents=True)
        (tmp_path / folder / "deep" / "file").write_bytes(b"bytes")
    odd = pipe(tmp_path / side / "deep" / name)
    ended = modelcast("delta", "make", tmp_path / "old", tmp_path / "new", tmp_path / "made")
    assert ended.returncode == 2
    assert f"error {odd}: this is a pipe, not a file" in ended.stderr
    assert "take it out of the folder" in ended.stderr
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("command", ["make", "apply"])
def test_a_pipe_is_not_replaced_by_what_is_made(pair: tuple[Path, Path], tmp_path: Path, command: str) -> None:
    delta.make(*pair, tmp_path / "delta")
    out = pipe(tmp_path / "out")
    ended = modelcast("delta", command, pair[0], pair[1] if command == "make" else tmp_path / "delta", out)
    assert ended.returncode == 2
    assert f"error {out}: the file to write is a pipe" in ended.stderr
    assert out.is_fifo()


def test_a_link_is_not_replaced_by_what_is_made(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """As ``/dev/stdout`` is one, and its place the system's."""
    (tmp_path / "link").symlink_to("file")
    for there in (False, True):
        if there:
            (tmp_path / "file").write_bytes(b"kept")
        ended = modelcast("delta", "make", *pair, tmp_path / "link")
        assert ended.returncode == 2
        assert "the file to write is a link" in ended.stderr
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"kept"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (b"x", bytes(1000), "× smaller than the whole"),
        (b"x", b"y", "× larger than the whole"),
        (b"x", b"", "the whole is empty"),
    ],
)
def test_how_large_a_delta_is_is_said_in_words(tmp_path: Path, old: bytes, new: bytes, told: str) -> None:
    made = modelcast("delta", "make", write(tmp_path / "old", old), write(tmp_path / "new", new), tmp_path / "out")
    assert told in made.stdout


def test_the_null_device_is_the_empty_file(pair: tuple[Path, Path], tmp_path: Path) -> None:
    assert modelcast("delta", "make", "/dev/null", pair[1], tmp_path / "delta").returncode == 0
    assert modelcast("delta", "apply", "/dev/null", tmp_path / "delta", tmp_path / "out").returncode == 0
    assert (tmp_path / "out").read_bytes() == pair[1].read_bytes()


LONG = "模" * 80


LIMITED = """
import resource, sys
from modelcast.cli.main import run
size = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
run()
"""


def limited(size_bytes: int, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """On a disk that refuses larger files."""
    command = [sys.executable, "-B", "-c", LIMITED, str(size_bytes), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_disk_that_is_too_small_is_named_by_what_was_to_be_written(pair: tuple[Path, Path], tmp_path: Path) -> None:
    made = limited(20_000, "delta", "make", *pair, tmp_path / "d")
    assert (made.returncode, "Traceback" in made.stderr) == (1, False), made.stderr
    assert f"{tmp_path / 'd'}: file too large" in made.stderr
    delta.make(*pair, tmp_path / "d")
    applied = limited(20_000, "delta", "apply", pair[0], tmp_path / "d", tmp_path / "out")
    assert (applied.returncode, "Traceback" in applied.stderr) == (1, False), applied.stderr
    assert f"{tmp_path / 'out'}: file too large" in applied.stderr
    assert {p.name for p in tmp_path.iterdir()} == {"old", "new", "d"}


def test_temporary_files_lie_beside_the_delta_and_names_may_be_long(pair: tuple[Path, Path], tmp_path: Path) -> None:
    folder = tmp_path / LONG
    folder.mkdir()
    (tmp_path / "nothing").mkdir()
    (folder / LONG).write_bytes(pair[1].read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path / "gone"))
        made = modelcast("delta", "make", tmp_path / "nothing", folder, tmp_path / ("差" * 80))
        assert made.returncode == 0, made.stderr
        applied = modelcast("delta", "apply", tmp_path / "nothing", tmp_path / ("差" * 80), tmp_path / ("出" * 80))
    assert applied.returncode == 0, applied.stderr
    assert (tmp_path / ("出" * 80) / LONG).read_bytes() == pair[1].read_bytes()
