"""CI runs what failed once more, and nothing where pytest broke off."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TWICE = ROOT / ".ci" / "twice"
FAILS = "def test_that_fails():\n    assert False\n"
BREAKS = "import pytest\n\ndef test_that_breaks_off():\n    pytest.exit('the machine goes down', returncode=3)\n"
INTERRUPTED = "def test_that_is_interrupted():\n    raise KeyboardInterrupt\n"
UNSTEADY = """
from pathlib import Path

def test_that_passes_the_second_time():
    mark = Path(__file__).with_name("was-here")
    was_here = mark.exists()
    mark.touch()
    assert was_here
"""
KILLED = "import os, signal\n\ndef test_that_is_killed():\n    os.kill(os.getpid(), signal.SIGKILL)\n"


def twice(folder: Path, tests: str) -> tuple[subprocess.CompletedProcess[str], int]:
    """Both runs by the recipe of ``make test-all``, of these tests alone; and how many runs there were."""
    (folder / "test_sample.py").write_text(tests)
    runs = folder / "runs"
    recipe = next(
        line for line in (ROOT / "Makefile").read_text().splitlines() if "-m 'not real and not without_deltas' " in line
    )
    status = [line for line in (ROOT / "Makefile").read_text().splitlines() if "STATUS" in line and "=" in line]
    settings = [f"BIN := {Path(sys.executable).parent}", "JOBS := 0", "ARGS :=", *status[:2]]
    (folder / "Makefile").write_text("\n".join([*settings, "test-all:", f"\t@echo >>{runs}", recipe, ""]))
    (folder / "pytest.ini").write_text("[pytest]\ntestpaths = test_sample.py\n")
    env = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}}
    done = subprocess.run(
        [TWICE, "test-all"], cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False
    )
    return done, len(runs.read_text().splitlines())


def test_what_passes_the_second_time_passes(tmp_path: Path) -> None:
    done, runs = twice(tmp_path, UNSTEADY)
    assert (done.returncode, runs) == (0, 2), done.stdout + done.stderr


def test_what_passes_is_not_run_again(tmp_path: Path) -> None:
    done, runs = twice(tmp_path, "def test_that_passes():\n    pass\n")
    assert (done.returncode, runs) == (0, 1), done.stdout + done.stderr


def test_what_fails_twice_fails(tmp_path: Path) -> None:
    done, runs = twice(tmp_path, FAILS)
    assert (done.returncode != 0, runs) == (True, 2)


@pytest.mark.parametrize(("tests", "status"), [(BREAKS, "3"), (INTERRUPTED, "2"), (KILLED, "137")])
def test_a_run_that_breaks_off_fails_whatever_failed_before(tmp_path: Path, tests: str, status: str) -> None:
    done, runs = twice(tmp_path, FAILS + tests)
    assert (done.returncode, runs) == (1, 1), done.stdout + done.stderr
    assert f"make test-all: pytest ended with {status}, not because tests failed" in done.stderr
