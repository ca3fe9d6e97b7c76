"""What one fetch has cost so far."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from modelcast.consumers.fetch.planning.steps import Source

NOTED_EVERY_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class FileCount:
    """How many files of a fetch are done.

    Attributes:
        doing: what is done with them, for people.
        done: so many are.
        total: so many will be.
    """

    doing: str = ""
    done: int = 0
    total: int = 0


class FetchMeter:
    """Seconds by stage, and bytes. Thread-safe.

    Attributes:
        planned_bytes: what is to come from the origin by the plan.
        had_bytes: what had come from there before this fetch was interrupted.
    """

    def __init__(self) -> None:
        self.planned_bytes = self.had_bytes = 0
        self._moved = {Source.REGION: 0, Source.ORIGIN: 0}
        self._files = FileCount()
        self._seconds: dict[str, float] = {}
        self._times_us: dict[str, tuple[int, int]] = {}
        self._lock = threading.Lock()
        self._noting = threading.Lock()
        self._kept: Path | None = None
        self._noted_at = 0.0

    @contextmanager
    def kept(self, place: Path, guess_bytes: int) -> Iterator[None]:
        """What the block brings is noted at ``place``, for the next attempt; it is gone once the block ends well.

        Args:
            place: a small file. What it says came before; where it is missing ``guess_bytes`` did.
        """
        try:
            self.had_bytes = int(place.read_bytes())
        except (OSError, ValueError):
            self.had_bytes = guess_bytes
        self._kept = place
        try:
            yield
        except BaseException:
            self._note()
            raise
        self._kept = None
        place.unlink(missing_ok=True)

    def moved(self, source: Source, count: int) -> None:
        """Further bytes came from there. It is noted now and then: a kill forgets little of it."""
        with self._lock:
            self._moved[source] += count
            due = time.monotonic() - self._noted_at > NOTED_EVERY_SECONDS
        if due:
            self._note()

    def _note(self) -> None:
        with self._noting:
            self._noted_at = time.monotonic()
            if self._kept is None:
                return
            with suppress(OSError):  # what can't be noted is no reason to fail
                fd = os.open(self._kept, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
                try:
                    os.pwrite(fd, b"%20d" % (self.had_bytes + self.moved_bytes(Source.ORIGIN)), 0)
                finally:
                    os.close(fd)

    def moved_bytes(self, source: Source) -> int:
        """What came from there; what had to come twice counts twice."""
        with self._lock:
            return self._moved[source]

    def files_begin(self, doing: str, total: int) -> None:
        """So many files are to be handled now; what is done with them, for people."""
        with self._lock:
            self._files = FileCount(doing, 0, total)

    def file_done(self) -> None:
        """One of them is."""
        with self._lock:
            self._files = replace(self._files, done=self._files.done + 1)

    def files(self) -> "FileCount":
        """How many of them are."""
        with self._lock:
            return self._files

    def add(self, stage: str, seconds: float) -> None:
        """A stage took longer by that, up to now."""
        ended_us = time.time_ns() // 1000
        begun_us = ended_us - int(seconds * 1_000_000)
        with self._lock:
            self._seconds[stage] = self._seconds.get(stage, 0.0) + seconds
            self._times_us[stage] = min(self._times_us.get(stage, (begun_us, 0))[0], begun_us), ended_us

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """The block is of that stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add(stage, time.perf_counter() - started)

    def stage_seconds(self) -> dict[str, float]:
        """How long each stage took so far."""
        with self._lock:
            return dict(self._seconds)

    def stage_times_us(self) -> dict[str, tuple[int, int]]:
        """When each stage first began and last ended, by this machine's clock, UTC microseconds."""
        with self._lock:
            return dict(self._times_us)
