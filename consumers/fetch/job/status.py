"""How far a fetch has come, reported while it runs."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from modelcast.consumers.fetch.meter import FetchMeter, FileCount
from modelcast.consumers.fetch.planning.steps import Source

TOLD_EVERY_SECONDS = 0.25
RATE_OVER_SECONDS = 3.0
MANY_FILES = 1000
"""Files from which on an artifact takes long, however small they are."""


@dataclass(frozen=True, slots=True)
class FetchStatus:
    """A fetch on its way.

    Attributes:
        bytes_moved: over the long link so far; what came twice counts twice.
        bytes_planned: what the plan brings over the long link.
        bytes_per_second: over the long link, in the last few seconds.
        way: how, for people; of many files, how many are done, too.
    """

    bytes_moved: int
    bytes_planned: int
    bytes_per_second: float
    way: str


class Ticker:
    """Tells a status: at once when there is a plan, and then from a thread of its own until its exit.

    Args:
        on_status: called with each status; None: no status is made, and there is no thread.
        meter: the fetch's.
    """

    def __init__(self, on_status: Callable[[FetchStatus], None] | None, meter: FetchMeter) -> None:
        self._on_status = on_status
        self._meter = meter
        self._planned, self._way = 0, ""
        self._over = threading.Event()
        self._seen: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])
        self._thread: threading.Thread | None = None

    def planned(self, size_bytes: int, way: str) -> None:
        """This is the plan now."""
        self._planned, self._way = size_bytes, way
        if self._on_status:
            self._on_status(self._status())
            self.start()

    def start(self) -> None:
        """There is something to tell from now on."""
        if self._on_status and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="fetch-status", daemon=True)
            self._thread.start()

    def __enter__(self) -> "Ticker":
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread:
            self._thread.join()

    def _run(self) -> None:
        assert self._on_status is not None
        while not self._over.wait(TOLD_EVERY_SECONDS):
            self._on_status(self._status())

    def _status(self) -> FetchStatus:
        now, moved = time.monotonic(), self._meter.moved_bytes(Source.ORIGIN)
        self._seen.append((now, moved))
        while len(self._seen) > 2 and now - self._seen[0][0] > RATE_OVER_SECONDS:
            self._seen.popleft()
        since, before = self._seen[0]
        rate = (moved - before) / (now - since) if now > since else 0.0
        return FetchStatus(moved, self._planned, rate, with_files(self._way, self._meter.files()))


def with_files(way: str, files: FileCount) -> str:
    """What people read of a fetch on its way, as in "50000 wholes; fetching: 31200 of 50000 files"."""
    if files.total < MANY_FILES:
        return way
    counts = f"{files.doing}: {files.done} of {files.total} files"
    return f"{way}; {counts}" if way else counts
