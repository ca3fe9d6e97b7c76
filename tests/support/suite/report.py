"""What came of the tests of one run, over all of its lanes and second tries, in a file.

``second_try`` names the tests that failed first and passed when they were run once more: they are counted, because a
test that fails now and then hides what fails always.

    python -m tests.support.suite.report FILE    # what CI ends with
"""

import fcntl
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

import pytest

SECOND_TRY = "second_try"
"""The property (``record_property``) by which a test that runs others names one that passed only the second time."""
SLOWEST_KEPT = 10
ALONE_SECONDS_MAX = 60.0
"""What one test should take at most, soak aside. A loaded machine takes longer: it is told, and fails nothing."""


@dataclass
class Report:
    """Tests by their names."""

    passed: int = 0
    failed: list[str] = field(default_factory=list)
    second_try: list[str] = field(default_factory=list)
    slowest_seconds: dict[str, float] = field(default_factory=dict)
    too_slow_seconds: dict[str, float] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Self:
        """What the file holds; an empty report if there is none."""
        return cls(**json.loads(path.read_text())) if path.exists() else cls()

    def write(self, path: Path) -> None:
        """Write it for people and programs."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")

    def take_in(self, stats: Mapping[str, Sequence[object]]) -> None:
        """Add a run of pytest, by outcome; of a test that was run before, the later try counts."""
        failed = dict.fromkeys(each.nodeid for each in _tests(stats, "failed", "error"))
        passed = [each.nodeid for each in _tests(stats, "passed") if each.nodeid not in failed]
        self.passed += len(passed)
        self.second_try += [name for name in passed if name in self.failed]
        self.second_try += [  # of tests that this one ran
            str(value) for each in _tests(stats, "passed") for name, value in each.user_properties if name == SECOND_TRY
        ]
        self.failed = [name for name in self.failed if name not in passed and name not in failed] + list(failed)
        seconds = Counter(self.slowest_seconds)
        for each in _tests(stats, "passed", "failed", "error", ""):  # "": setting up and tearing down
            seconds[each.nodeid] += each.duration
        self.slowest_seconds = {name: round(took, 1) for name, took in seconds.most_common(SLOWEST_KEPT)}
        self.too_slow_seconds |= {name: round(took, 1) for name, took in too_slow(stats).items()}


@contextmanager
def amended(path: Path) -> Iterator[Report]:
    """The report at ``path``, written when the block ends; lanes that run side by side take turns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        report = Report.read(path)
        yield report
        report.write(path)


def told(report: Report) -> list[str]:
    """What a person reads last: how many passed, and by name what failed, took too long, or passed the second time."""
    lines = [f"{report.passed} tests passed, {len(report.failed)} failed"]
    lines += [f"failed: {name}" for name in report.failed]
    lines += [
        f"took {seconds:.0f} s, over {ALONE_SECONDS_MAX:.0f}: {n}" for n, seconds in report.too_slow_seconds.items()
    ]
    if report.second_try:
        lines.append(f"passed only on the second try: {len(report.second_try)}")
    return lines + list(report.second_try)


def too_slow(stats: Mapping[str, Sequence[object]]) -> dict[str, float]:
    """Seconds of the tests whose call took over ``ALONE_SECONDS_MAX``, longest first; not of those marked ``soak``."""
    calls = (each for each in _tests(stats, "passed", "failed") if each.when == "call" and "soak" not in each.keywords)
    slow = {each.nodeid: each.duration for each in calls if each.duration > ALONE_SECONDS_MAX}
    return dict(sorted(slow.items(), key=lambda named: -named[1]))


def _tests(stats: Mapping[str, Sequence[object]], *outcomes: str) -> Iterable[pytest.TestReport]:
    found = (each for outcome in outcomes for each in stats.get(outcome, ()))
    return (each for each in found if isinstance(each, pytest.TestReport))


if __name__ == "__main__":
    print("\n".join(told(Report.read(Path(sys.argv[1])))))
