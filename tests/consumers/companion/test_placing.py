"""Files appear in a server's repository whole or not at all."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelcast.consumers.companion import placing
from modelcast.consumers.companion.layouts.version_layout import Place, VersionLayout
from modelcast.consumers.companion.placing import Cancelled, ModelRepository
from modelcast.schemas.errors import Refused

LAYOUT = VersionLayout("7", (Place("model.onnx", "model.onnx"), Place("deep/weights", "w/weights")))


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    folder = tmp_path / "artifact"
    (folder / "w").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"graph")
    (folder / "w/weights").write_bytes(b"weights")
    return folder


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[ModelRepository]:
    repository = ModelRepository(tmp_path / "repository")
    yield repository
    repository.close()


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_copies_are_placed_and_never_links_into_the_cache(repository: ModelRepository, artifact: Path) -> None:
    folder = repository.place("fraud", LAYOUT, artifact, threading.Event())
    assert folder == repository.root / "fraud/7"
    assert tree(folder) == {"model.onnx": b"graph", "deep/weights": b"weights"}
    (folder / "model.onnx").write_bytes(b"what a server does to its files")
    assert (artifact / "model.onnx").read_bytes() == b"graph"
    assert (folder / "deep/weights").stat().st_nlink == 1


def test_what_lay_there_before_is_replaced_whole(repository: ModelRepository, artifact: Path) -> None:
    half = repository.root / "fraud/7"
    half.mkdir(parents=True)
    (half / "half-copied").write_bytes(b"x")
    repository.place("fraud", LAYOUT, artifact, threading.Event())
    assert sorted(tree(half)) == ["deep/weights", "model.onnx"]


def test_a_copy_that_is_called_off_leaves_nothing(repository: ModelRepository, artifact: Path) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        repository.place("fraud", LAYOUT, artifact, cancel)
    assert tree(repository.root) == {".modelcast/lock": b""}


def test_a_copy_that_fails_half_way_leaves_what_was_there(repository: ModelRepository, artifact: Path) -> None:
    repository.place("fraud", LAYOUT, artifact, threading.Event())
    (artifact / "model.onnx").write_bytes(b"newer")
    (artifact / "w/weights").unlink()
    with pytest.raises(FileNotFoundError):
        repository.place("fraud", LAYOUT, artifact, threading.Event())
    assert tree(repository.root / "fraud/7") == {"model.onnx": b"graph", "deep/weights": b"weights"}


def test_leftovers_of_a_companion_that_was_killed_are_cleared_away(tmp_path: Path, artifact: Path) -> None:
    leftover = tmp_path / "repository" / placing.STAGING / "fraud-7-abcd"
    leftover.mkdir(parents=True)
    (leftover / "half").write_bytes(b"x")
    ModelRepository(tmp_path / "repository").close()
    assert not leftover.exists()


DIES_AFTER_ITS_FIRST_RENAME = """
import os, signal, sys, threading
from pathlib import Path
from modelcast.consumers.companion import placing
from modelcast.consumers.companion.layouts.version_layout import Place, VersionLayout

rename = Path.rename

def last(self, target):
    rename(self, target)
    os.kill(os.getpid(), signal.SIGKILL)

repository = placing.ModelRepository(Path(sys.argv[1]))
if sys.argv[3] == "without exchange":
    placing.exchange = lambda one, other: False
Path.rename = last
layout = VersionLayout("7", (Place("model.onnx", "model.onnx"),))
repository.place("fraud", layout, Path(sys.argv[2]), threading.Event())
"""


@pytest.mark.parametrize("how", ["with exchange", "without exchange"])
def test_a_companion_killed_while_it_replaces_a_folder_leaves_one_that_serves(
    how: str, tmp_path: Path, artifact: Path
) -> None:
    repository = ModelRepository(tmp_path / "repository")
    repository.place("fraud", LAYOUT, artifact, threading.Event())
    repository.close()
    (artifact / "model.onnx").write_bytes(b"newer")
    command = [sys.executable, "-c", DIES_AFTER_ITS_FIRST_RENAME, str(repository.root), str(artifact), how]
    ended = subprocess.run(command, check=False)
    folder = repository.root / "fraud/7"
    if how == "with exchange":
        assert ended.returncode == 0  # it never renamed: the folder had its name at every instant
        assert tree(folder) == {"model.onnx": b"newer"}
    else:
        assert ended.returncode == -signal.SIGKILL
        assert not folder.exists()
        ModelRepository(repository.root).close()
        assert tree(folder) == {"model.onnx": b"graph", "deep/weights": b"weights"}
    assert sorted(p.name for p in (repository.root / placing.STAGING).iterdir()) == ["lock"]


def test_only_one_companion_at_a_time_places_files(repository: ModelRepository) -> None:
    with pytest.raises(Refused, match="another companion"):
        ModelRepository(repository.root)


def test_pruning_keeps_what_it_is_told_and_what_is_no_version(repository: ModelRepository, artifact: Path) -> None:
    for number in ("5", "6", "7"):
        repository.place("fraud", VersionLayout(number, LAYOUT.places), artifact, threading.Event())
    repository.write("fraud", "settings.json", b"{}")
    repository.prune("fraud", {"6", "7", ""})
    kept = sorted(p.name for p in (repository.root / "fraud").iterdir())
    assert kept == [".placing-6", ".placing-7", "6", "7", "settings.json"]


def test_files_that_were_changed_are_told_from_those_that_were_placed(
    repository: ModelRepository, artifact: Path
) -> None:
    assert repository.untouched("fraud", "7"), "nothing was placed that could be another"
    folder = repository.place("fraud", LAYOUT, artifact, threading.Event())
    assert not repository.untouched("fraud", LAYOUT.folder), "the server has not loaded it yet"
    repository.loaded("fraud", LAYOUT.folder)
    (folder / "__pycache__").mkdir()  # what a server adds is its own
    assert repository.untouched("fraud", LAYOUT.folder)
    file = folder / LAYOUT.places[0].path
    file.write_bytes(bytes(reversed(file.read_bytes())))
    assert not repository.untouched("fraud", LAYOUT.folder)
    repository.place("fraud", LAYOUT, artifact, threading.Event())
    assert not repository.untouched("fraud", LAYOUT.folder), "its memory may hold what was read before"
    repository.loaded("fraud", LAYOUT.folder)
    assert repository.untouched("fraud", LAYOUT.folder)
    file.unlink()
    assert not repository.untouched("fraud", LAYOUT.folder)


def test_a_link_moves_by_one_rename(repository: ModelRepository, artifact: Path) -> None:
    for number in ("6", "7"):
        repository.place("fraud", VersionLayout(number, LAYOUT.places), artifact, threading.Event())
        repository.point("fraud", "current", number)
    assert (repository.root / "fraud/current").readlink() == Path("7")


def test_a_full_disk_blames_no_version_and_leaves_no_half_of_one(on_small_disk: Callable[[str], str]) -> None:
    scenario = Path(__file__).with_name("full_repository_scenario.py")
    assert on_small_disk(str(scenario)) == "out_of_resources\nsound\n"
