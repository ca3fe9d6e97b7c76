"""Progress reports of fetches while they run: often enough for people to watch, never a flood."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from modelcast.agents.region.decider.events_and_effects import Fetching, Transfer
from modelcast.consumers.fetch import FetchStatus

GAP_SECONDS = 1.0
"""A fetch reports at most this often, and for the first time when it has taken this long."""
REPORTS_PER_SECOND_MAX = 10.0
"""All fetches of a worker together."""
PODS_REPORTED_PER_SECOND_MAX = 1000.0
"""Every progress report goes out with the rows of all the region's pods."""


def gap_seconds(fetches: int, pods: int) -> float:
    """How long each of ``fetches`` under way is silent between two reports, in a region of ``pods`` pods."""
    return max(GAP_SECONDS, fetches * max(1 / REPORTS_PER_SECOND_MAX, pods / PODS_REPORTED_PER_SECOND_MAX))


class ReportRate:
    """How many fetches of this worker are under way. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._fetches = 0
        self._lock = threading.Lock()

    @contextmanager
    def fetching(self) -> Iterator[None]:
        """Count one more fetch as under way, from entry to exit."""
        with self._lock:
            self._fetches += 1
        try:
            yield
        finally:
            with self._lock:
                self._fetches -= 1

    def gap_seconds(self, pods: int) -> float:
        """Seconds between two reports of each fetch under way."""
        with self._lock:
            return gap_seconds(self._fetches, pods)


class ProgressReporter:
    """Passes on the progress of one fetch, as seldom as the report rate allows. Called on the fetch's threads.

    Args:
        manifest_digest: what is fetched.
        report_rate: shared with the other fetches of the worker.
        pods: of the region.
        report: called with each report; must not block.
    """

    def __init__(
        self, manifest_digest: str, report_rate: ReportRate, pods: int, report: Callable[[Fetching], None]
    ) -> None:
        self._digest, self._report_rate, self._pods, self._report = manifest_digest, report_rate, pods, report
        self._lock = threading.Lock()
        self._next_at = report_rate.clock() + report_rate.gap_seconds(pods)

    def __call__(self, status: FetchStatus) -> None:
        """Report ``status``, or drop it if the last report is too recent."""
        with self._lock:
            now = self._report_rate.clock()
            if now < self._next_at:
                return
            self._next_at = now + self._report_rate.gap_seconds(self._pods)
        transfer = Transfer(
            bytes_moved=status.bytes_moved,
            bytes_planned=status.bytes_planned,
            bytes_per_second=status.bytes_per_second,
            way=status.way,
        )
        self._report(Fetching(self._digest, transfer))
