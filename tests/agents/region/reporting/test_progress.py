"""Progress of fetches: told while they run, seldom enough, and nobody's is crowded out."""

from collections import Counter
from contextlib import ExitStack

import pytest

from modelcast.agents.region.decider.events_and_effects import Fetching
from modelcast.agents.region.reporting.progress import (
    GAP_SECONDS,
    PODS_REPORTED_PER_SECOND_MAX,
    REPORTS_PER_SECOND_MAX,
    ProgressReporter,
    ReportRate,
    gap_seconds,
)
from modelcast.consumers.fetch import FetchStatus

DIGEST = "sha256:" + "7" * 64


class Clock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def status(moved: int = 5) -> FetchStatus:
    return FetchStatus(moved, 100, 12.5, "delta from 3")


def test_what_is_over_within_a_second_says_nothing() -> None:
    clock, told = Clock(), list[Fetching]()
    report_rate = ReportRate(clock)
    with report_rate.fetching():
        reporter = ProgressReporter(DIGEST, report_rate, 2, told.append)
        for _ in range(9):
            clock.now += 0.1
            reporter(status())
    assert told == []


def test_a_long_fetch_speaks_once_a_second_and_says_what_it_knows() -> None:
    clock, told = Clock(), list[Fetching]()
    report_rate = ReportRate(clock)
    with report_rate.fetching():
        reporter = ProgressReporter(DIGEST, report_rate, 2, told.append)
        for moved in range(41):
            reporter(status(moved))
            clock.now += 0.25
    assert [event.transfer.bytes_moved for event in told] == [4, 8, 12, 16, 20, 24, 28, 32, 36, 40]
    last = told[-1]
    assert last.manifest_digest == DIGEST
    assert (last.transfer.bytes_planned, last.transfer.bytes_per_second, last.transfer.way) == (
        100,
        12.5,
        "delta from 3",
    )


@pytest.mark.parametrize("pods", [0, 2, 100, 1000])
@pytest.mark.parametrize("fetches", [1, 8, 200])
def test_many_fetches_together_are_no_flood_and_each_is_heard(fetches: int, pods: int) -> None:
    clock, told = Clock(), Counter[int]()
    report_rate = ReportRate(clock)
    seconds = int(10 * gap_seconds(fetches, pods))
    with ExitStack() as under_way:
        for _ in range(fetches):
            under_way.enter_context(report_rate.fetching())
        reporters = [
            ProgressReporter(DIGEST, report_rate, pods, lambda _, n=n: told.update([n]))  # type: ignore[misc]
            for n in range(fetches)
        ]
        for _ in range(4 * seconds):
            clock.now += 0.25
            for reporter in reporters:
                reporter(status())
    assert set(told) == set(range(fetches))
    assert told.total() <= seconds * REPORTS_PER_SECOND_MAX
    assert told.total() * pods <= seconds * PODS_REPORTED_PER_SECOND_MAX
    assert max(told.values()) <= seconds / GAP_SECONDS
    assert max(told.values()) - min(told.values()) <= 1  # nobody speaks for the others


def test_a_fetch_that_has_ended_no_longer_slows_the_others_down() -> None:
    report_rate = ReportRate(Clock())
    with pytest.raises(OSError, match="cut"), report_rate.fetching(), report_rate.fetching():
        assert report_rate.gap_seconds(1000) == 2 * GAP_SECONDS
        raise OSError("cut")
    with report_rate.fetching():
        assert report_rate.gap_seconds(1000) == GAP_SECONDS
