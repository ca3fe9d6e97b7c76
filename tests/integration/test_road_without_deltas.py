"""The road in a copy of the tree from which ``deltas/`` was deleted, without what its extra installs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from modelcast.infra.local.layout import inherited_env

ROOT = Path(__file__).parents[2]
ROOMS = ("agents", "cli", "consumers", "dashboard", "infra", "producers", "schemas")
BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"pcodec", "zstandard", "numba"}:
            raise ModuleNotFoundError(f"not installed: {name}", name=name.partition(".")[0])

sys.meta_path.insert(0, Blocked())
sys.path = [path for path in sys.path if path not in {SRC!r, ROOT!r}]
"""
FAST = (
    "tests/consumers/fetch/test_fetcher.py",
    "tests/consumers/fetch/test_steps.py",
    "tests/consumers/fetch/test_fetch_damaged.py",
    "tests/producers/test_commands.py",
)
QUICK = "not real and not soak and not integration"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The copy, with what was compiled: it is the same code."""
    copy = tmp_path / "tree"
    for room in (*ROOMS, "tests"):
        shutil.copytree(ROOT / room, copy / room, ignore=shutil.ignore_patterns("deltas"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    (copy / "src" / "modelcast").mkdir(parents=True)
    for room in ROOMS:
        (copy / "src" / "modelcast" / room).symlink_to(copy / room)
    hook = BLOCKED.replace("SRC!r", repr(str(ROOT / "src"))).replace("ROOT!r", repr(str(ROOT)))
    (copy / "src" / "sitecustomize.py").write_text(hook)
    return copy


def run(tree: Path, *arguments: str, seconds: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=tree,
        env={**inherited_env(), "PYTHONPATH": os.pathsep.join([str(tree / "src"), str(tree)])},
        stdin=subprocess.DEVNULL,
        timeout=seconds,
        check=False,
    )


def test_no_delta_is_there(tree: Path) -> None:
    script = (
        "from importlib.util import find_spec\n"
        "import modelcast.consumers.fetch as fetch\n"
        "from modelcast.infra.accelerators import load\n"
        "print(fetch.__file__, find_spec('modelcast.deltas'), load('fetch'), load('publish'))\n"
    )
    done = run(tree, "-c", script, seconds=60)
    assert done.stdout.splitlines()[-1:] == [
        f"{tree}/src/modelcast/consumers/fetch/__init__.py None None None"
    ], done.stderr  # fmt: skip


@pytest.mark.parametrize("command", ["info d", "apply old d new", "make old new d", "publish fraud/7"])
def test_a_delta_command_names_what_to_install(tree: Path, command: str) -> None:
    done = run(tree, "-m", "modelcast.cli.main", "delta", *command.split(), seconds=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert "needs 'modelcast.deltas'" in done.stderr
    assert done.stderr.splitlines()[-1] == "  → pip install 'modelcast[delta]'"


@pytest.mark.timeout(600)
def test_publishing_and_fetching_pass_their_tests(tree: Path) -> None:
    done = run(tree, "-m", "pytest", "-q", "-p", "no:cacheprovider", *FAST, seconds=550)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout or "100%" in done.stdout


@pytest.mark.soak
@pytest.mark.integration
@pytest.mark.timeout(1800)
def test_everything_that_is_tested_without_servers_passes(tree: Path) -> None:
    arguments = ("-q", "-p", "no:cacheprovider", "-n", "2", "--dist", "loadfile", "-m", QUICK)
    ignored = (f"--ignore={path}" for path in ("tests/bench", Path(__file__).relative_to(ROOT)))
    done = run(tree, "-m", "pytest", *arguments, *ignored, "tests", seconds=1750)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.soak
@pytest.mark.integration
@pytest.mark.timeout(900)
def test_the_demo_publishes_fetches_serves_refuses_damage_and_rolls_back(tree: Path) -> None:
    done = run(tree, "-m", "modelcast.cli.main", "demo", "--regions", "eu", "--pods", "1", seconds=850)
    assert done.returncode == 0, done.stdout + done.stderr
