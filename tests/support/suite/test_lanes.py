"""Second tries are named and counted, servers are shared, and the order of tests speaks of files that exist."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

from tests.support.servers.shared_servers import ServerOwner, ask
from tests.support.suite.report import Report, told, too_slow
from tests.support.suite.scheduling import FIRST, SPREAD, TOGETHER, rank, scope_of

ROOT = Path(__file__).parents[3]
UNSTEADY = """
from pathlib import Path

def test_that_passes_the_second_time():
    mark = Path(__file__).with_name("was-here")
    was_here = mark.exists()
    mark.touch()
    assert was_here

def test_that_always_passes():
    pass
"""


def run(file: Path, report: Path, *options: str) -> subprocess.CompletedProcess[str]:
    own = ("-o", f"cache_dir={file.parent / 'cache'}")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.conftest",
        "--rootdir",
        str(ROOT),
        *own,
        *options,
        str(file),
    ]
    env = {**os.environ, "MODELCAST_TEST_REPORT": str(report)}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=170, check=False)


def test_what_passes_only_the_second_time_is_counted_and_named_in_the_last_lines(tmp_path: Path) -> None:
    file, report = tmp_path / "test_sample.py", tmp_path / "out" / "report.json"
    file.write_text(UNSTEADY)
    assert run(file, report).returncode == 1
    (name,) = json.loads(report.read_text())["failed"]
    again = run(file, report, "--last-failed")
    assert again.returncode == 0
    *_, named, last = again.stdout.strip().splitlines()
    assert named == name
    assert name.endswith("::test_that_passes_the_second_time")
    assert "1 passed, 1 deselected" in last
    told = json.loads(report.read_text())
    assert (told["passed"], told["failed"], told["second_try"]) == (2, [], [name])


def test_ci_ends_with_what_failed_and_what_passed_only_the_second_time(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    Report(passed=3, failed=["tests/a.py::test_b"], second_try=["tests/a.py::test_c"]).write(path)
    command = [sys.executable, "-m", "tests.support.suite.report", str(path)]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    assert said.splitlines() == [
        "3 tests passed, 1 failed",
        "failed: tests/a.py::test_b",
        "passed only on the second try: 1",
        "tests/a.py::test_c",
    ]
    last = (ROOT / ".ci" / "run").read_text().splitlines()[-2:]
    assert "tests.support.suite.report" in last[0]


SLOW = """
import pytest

def test_that_takes_long():
    pass

@pytest.mark.soak
def test_that_may_take_long():
    pass
"""
CLOCK = """
import pytest

@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if call.when == "call":
        report.duration = 61.0
    return report
"""


@pytest.mark.parametrize("jobs", [pytest.param("0", marks=pytest.mark.soak), "1"])
def test_what_takes_more_than_a_minute_is_named_in_the_last_lines_and_fails_nothing(tmp_path: Path, jobs: str) -> None:
    file = tmp_path / "test_sample.py"
    file.write_text(SLOW)
    (tmp_path / "conftest.py").write_text(CLOCK)
    done = run(file, tmp_path / "report.json", "-n", jobs)
    assert done.returncode == 0, done.stdout
    *_, heading, named, last = done.stdout.strip().splitlines()
    assert "took more than 60 s: 1" in heading
    assert named.startswith("61 s ")
    assert named.endswith("::test_that_takes_long")
    assert any(line.startswith("took 61 s, over 60: ") for line in told(Report.read(tmp_path / "report.json")))
    assert "2 passed" in last


@pytest.mark.parametrize(("seconds", "when", "named"), [(60.0, "call", []), (61.0, "setup", []), (61.0, "call", ["a"])])
def test_only_the_call_counts(seconds: float, when: Literal["setup", "call"], named: list[str]) -> None:
    report = pytest.TestReport("a", ("f", 1, "a"), {}, "passed", None, when, duration=seconds)
    assert list(too_slow({"passed": [report]})) == named


def test_workers_ask_for_servers_and_each_is_started_once() -> None:
    owner = ServerOwner()
    try:
        assert ask(owner.address, "redis") == ask(owner.address, "redis") == owner.where("redis")
    finally:
        owner.stop()


def test_a_server_that_does_not_start_is_named() -> None:
    owner = ServerOwner()
    try:
        with pytest.raises(RuntimeError, match="no-such-server"):
            ask(owner.address, "no-such-server")
    finally:
        owner.stop()


def test_files_stay_together_unless_they_are_spread() -> None:
    file, spread, together = ("any/test_keys.py", min(SPREAD), "integration/test_main_road.py")
    assert scope_of(f"tests/{file}::test_a[x]") == scope_of(f"tests/{file}::Test::test_b") == file
    assert scope_of(f"tests/{spread}::test_a") != scope_of(f"tests/{spread}::test_b")
    assert scope_of(f"tests/{together}::test_a") == TOGETHER[together]
    assert rank(f"tests/{together}::test_a") < rank(f"tests/{file}::test_a")


def test_a_file_of_the_same_name_elsewhere_is_another_one() -> None:
    assert scope_of("tests/dashboard/test_dashboard.py::test_a") == "dashboard/test_dashboard.py"
    assert scope_of("tests/integration/test_dashboard.py::test_a") == TOGETHER["integration/test_dashboard.py"]


def test_the_order_speaks_of_files_that_exist() -> None:
    named = {*TOGETHER, *SPREAD, *(each for each in FIRST if each.endswith(".py"))}
    assert {each for each in FIRST if not each.endswith(".py")} <= set(TOGETHER.values())
    missing = {each for each in named if not (ROOT / "tests" / each).exists()}
    deltas_are_here = (
        ROOT / "tests" / "deltas"
    ).exists()  # they are not in the copy that tests/integration/packaging makes
    assert {each for each in missing if deltas_are_here or not each.startswith("deltas/")} == set()
