"""The source archive, the wheel that is built from it, and what is installed from that."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400), pytest.mark.soak]

ROOT = Path(__file__).parents[3]
ALL_ROOMS = ("schemas", "producers", "consumers", "agents", "infra", "deltas", "dashboard", "cli")
ROOMS = tuple(room for room in ALL_ROOMS if (ROOT / room).is_dir())
"""Those of this tree: one may have been made without ``deltas``."""


def run(*command: str | Path, folder: Path) -> str:
    """What a program prints that finds none of our folders by itself."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MODELCAST_"))}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(kind: str, source: Path, into: Path) -> Path:
    """Build an archive of ``source``."""
    run(sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", into, folder=source)
    (archive,) = into.iterdir()
    return archive


def contents(wheel: Path) -> dict[str, bytes]:
    """The package's files."""
    with zipfile.ZipFile(wheel) as file:
        return {name: file.read(name) for name in file.namelist() if ".dist-info/" not in name}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the source archive alone."""
    folder = tmp_path_factory.mktemp("archives")
    with tarfile.open(build("sdist", ROOT, folder / "sdist")) as archive:
        safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # not before Python 3.11.4
        archive.extractall(folder / "unpacked", **safely)
    (unpacked,) = (folder / "unpacked").iterdir()
    assert not (unpacked / "src").exists()
    return build("wheel", unpacked, folder / "wheel")


def test_the_wheel_holds_every_file_of_every_room_and_nothing_else(wheel: Path) -> None:
    listed = run("git", "-c", f"safe.directory={ROOT}", "ls-files", "-co", "--exclude-standard", *ROOMS, folder=ROOT)
    assert set(contents(wheel)) == {f"modelcast/{each}" for each in listed.splitlines() if (ROOT / each).exists()}
    assert any(name.endswith(".avsc") for name in contents(wheel))
    assert "modelcast/infra/deploy/modelcast.toml" in contents(wheel)


def test_a_wheel_that_is_built_from_a_clone_is_the_same(wheel: Path, tmp_path: Path) -> None:
    assert contents(build("wheel", ROOT, tmp_path)) == contents(wheel)


def test_what_is_installed_runs_without_the_clone(wheel: Path, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv, folder=tmp_path)
    python = venv / "bin" / "python"
    install = ("install", "--quiet", "--no-deps", "--no-index", "--no-compile")
    run(sys.executable, "-m", "pip", "--python", python, *install, wheel, folder=tmp_path)
    packages = Path(
        run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", folder=tmp_path).strip()
    )
    # What it depends on is the tests' own; the editable install there does not count, its .pth is not read.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    found = run(python, "-c", "import modelcast.cli.main as main; print(main.__file__)", folder=tmp_path).strip()
    assert Path(found) == packages / "modelcast" / "cli" / "main.py"
    assert "modelcast" in run(venv / "bin" / "modelcast", "--version", folder=tmp_path)
    rooms = ", ".join(f"modelcast.{room}" for room in ROOMS)
    run(python, "-c", f"import {rooms}; from modelcast.schemas import codec", folder=tmp_path)
