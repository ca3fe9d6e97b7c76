"""CI runs what failed once more, and nothing where pytest broke off; so does a test that runs others."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.suite.report import SECOND_TRY, Report
from tests.support.suite.second_try import Tries, run_twice

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


def both_tries(folder: Path, tests: str) -> Tries:
    """Of these tests, by this tree's conftest, which keeps the report."""
    file = folder / "test_sample.py"
    file.write_text(tests)
    options = ("-q", "-p", "tests.conftest", "-o", f"cache_dir={folder / 'cache'}", f"--rootdir={folder}", str(file))
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    return run_twice(options, ("-n", "1"), folder, env=env, seconds=120)


def test_a_test_that_runs_others_names_what_passed_the_second_time(tmp_path: Path) -> None:
    tries = both_tries(tmp_path, UNSTEADY + "\ndef test_that_passes():\n    pass\n")
    assert (tries.status, len(tries.printed)) == (0, 2), tries.printed
    assert "1 passed, 1 deselected" in tries.printed[1]
    (name,) = tries.report.second_try
    assert name.endswith("test_sample.py::test_that_passes_the_second_time")
    found = Report()
    found.take_in({"passed": [passed("tests/runs_others.py::test_all", (SECOND_TRY, f"in a copy: {name}"))]})
    assert found.second_try == [f"in a copy: {name}"]


def test_a_test_that_runs_others_names_what_failed_twice(tmp_path: Path) -> None:
    tries = both_tries(tmp_path, FAILS)
    assert (tries.status, len(tries.printed)) == (1, 2)
    assert [name.rpartition("::")[2] for name in tries.report.failed] == ["test_that_fails"]


def test_a_run_of_others_that_breaks_off_is_not_repeated(tmp_path: Path) -> None:
    tries = both_tries(tmp_path, INTERRUPTED)
    assert (tries.status, len(tries.printed)) == (2, 1)


def test_ci_does_not_repeat_the_lane_that_repeats_by_itself() -> None:
    lanes = [line.split() for line in (ROOT / ".ci" / "run").read_text().splitlines() if line.startswith("lane ")]
    assert [line[1] for line in lanes if "test-without-deltas" in line] == ["make"]


def passed(name: str, *properties: tuple[str, object]) -> pytest.TestReport:
    return pytest.TestReport(name, ("f", 1, name), {}, "passed", None, "call", user_properties=properties)
