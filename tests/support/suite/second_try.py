"""Runs pytest as a program of its own, and what failed once more, alone: what ``.ci/twice`` does with ``make``.

For a test that runs others: it names what passed only the second time by ``second_try`` properties of its own
(``record_property``), which ``report.py`` counts.
"""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.suite.report import Report

AGAIN = ("-n", "0", "--last-failed", "--last-failed-no-failures=none", "--maxfail=3")


@dataclass(frozen=True)
class Tries:
    """What came of one or two runs: pytest's last exit status, what was printed, and the report over both."""

    status: int
    printed: tuple[str, ...]
    report: Report


def run_twice(
    tests: Sequence[str], once: Sequence[str], folder: Path, *, env: Mapping[str, str], seconds: float
) -> Tries:
    """Run ``tests`` in ``folder``; if some fail, those again. A run that breaks off is not repeated.

    Args:
        tests: paths and options of both runs.
        once: options of the first run alone.
        folder: where; the report is kept in it, and pytest's cache, which names what failed.
        env: the whole environment.
        seconds: the limit of each run.

    Raises:
        subprocess.TimeoutExpired: a run took longer.
    """
    report, printed, status = folder / "test-report.json", [], pytest.ExitCode.OK
    for options in (once, AGAIN):
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *tests],
            cwd=folder,
            env={**env, "MODELCAST_TEST_REPORT": str(report)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        printed.append(done.stdout + done.stderr)
        status = done.returncode
        if status != pytest.ExitCode.TESTS_FAILED:
            break
    return Tries(status, tuple(printed), Report.read(report))
