"""In CI a skipped test fails the run, and is named."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SKIPS = """
import pytest

def test_that_runs():
    pass

def test_that_is_skipped():
    pytest.skip("no such server")
"""
SKIPPED_WHOLE = """
import pytest

pytest.importorskip("no_such_module", reason="no such module")
"""
FAILS_AS_EXPECTED = """
import pytest

@pytest.mark.xfail(reason="known")
def test_that_fails():
    raise AssertionError
"""


def run(tests: str, folder: Path, *options: str, ci: str) -> subprocess.CompletedProcess[str]:
    file = folder / "test_sample.py"
    file.write_text(tests)
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "--rootdir", str(ROOT), *options, str(file)]
    env = {**os.environ, "CI": ci}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=170, check=False)


def test_a_skip_fails_the_run_in_ci(tmp_path: Path) -> None:
    done = run(SKIPS, tmp_path, ci="true")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "test_that_is_skipped: Skipped: no such server" in done.stdout
    assert "1 passed, 1 skipped" in done.stdout.strip().splitlines()[-1]


@pytest.mark.soak
@pytest.mark.parametrize("jobs", ["0", "1"])
def test_a_module_that_is_skipped_whole_fails_the_run_too(tmp_path: Path, jobs: str) -> None:
    done = run(SKIPPED_WHOLE, tmp_path, "-n", jobs, ci="true")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "no such module" in done.stdout


def test_a_rerun_of_what_failed_forgets_no_skip(tmp_path: Path) -> None:
    own = ("-o", f"cache_dir={tmp_path / 'cache'}")
    broken = SKIPS + "\ndef test_that_fails():\n    assert False\n"
    assert run(broken, tmp_path, *own, ci="true").returncode == pytest.ExitCode.TESTS_FAILED
    mended = SKIPS + "\ndef test_that_fails():\n    pass\n"
    done = run(mended, tmp_path, *own, "--last-failed", ci="true")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "1 passed" in done.stdout
    assert "test_that_is_skipped: Skipped: no such server" in done.stdout


def test_a_skip_is_fine_elsewhere(tmp_path: Path) -> None:
    assert run(SKIPS, tmp_path, ci="").returncode == pytest.ExitCode.OK


@pytest.mark.soak
def test_an_expected_failure_is_no_skip(tmp_path: Path) -> None:
    assert run(FAILS_AS_EXPECTED, tmp_path, ci="true").returncode == pytest.ExitCode.OK


def test_a_server_that_is_missing_fails_in_ci(tmp_path: Path) -> None:
    needs = "def test_real(versitygw):\n    pass\n"
    env_without = {name: os.environ.pop(name) for name in ("MODELCAST_VERSITYGW",) if name in os.environ}
    path = os.environ["PATH"]
    os.environ["PATH"] = str(tmp_path)
    try:
        done = run(needs, tmp_path, ci="true")
    finally:
        os.environ.update(env_without, PATH=path)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "versitygw is not here" in done.stdout
