"""What one fetch has cost so far."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from modelcast.consumers.fetch.job.report import FetchReport
from modelcast.consumers.fetch.planning.steps import Way
from modelcast.consumers.fetch.transfer.download import Download
from modelcast.consumers.fetch.ways import Kind
from modelcast.schemas.manifest import Manifest

NOTED_EVERY_SECONDS = 0.05


class Account:
    """Seconds by stage, and bytes.

    Attributes:
        downloads: all that were begun.
        planned_bytes: what is to come from the origin by the plan.
        had_bytes: what had come from there before this fetch was interrupted.
    """

    def __init__(self) -> None:
        self.downloads: list[Download] = []
        self.planned_bytes = self.had_bytes = 0
        self._seconds: dict[str, float] = {}
        self._kept: Path | None = None
        self._noted_at = 0.0

    @contextmanager
    def kept(self, place: Path, guess_bytes: int) -> Iterator[None]:
        """What the block brings is noted at ``place``, for the next attempt; it is gone once the block ends well.

        Args:
            place: a small file. What it says came before; without it (older software's attempt) ``guess_bytes`` did.
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

    def noting(self, cancelled: Callable[[], bool]) -> Callable[[], bool]:
        """``cancelled``, which is asked often, and what has come is noted now and then: a kill forgets little of it."""

        def asked() -> bool:
            if time.monotonic() - self._noted_at > NOTED_EVERY_SECONDS:
                self._note()
            return cancelled()

        return asked

    def _note(self) -> None:
        self._noted_at = time.monotonic()
        if self._kept is not None:
            with suppress(OSError):  # what can't be noted is no reason to fail
                fd = os.open(self._kept, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
                try:
                    os.pwrite(fd, b"%20d" % (self.had_bytes + self.moved_bytes(Way.ORIGIN)), 0)
                finally:
                    os.close(fd)

    def moved_bytes(self, way: Way) -> int:
        """What came that way."""
        return sum(download.moved_bytes[way] for download in self.downloads)

    def add(self, stage: str, seconds: float) -> None:
        """A stage took longer by that."""
        self._seconds[stage] = self._seconds.get(stage, 0.0) + seconds

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """The block is of that stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add(stage, time.perf_counter() - started)

    def report(self, manifest: Manifest, bytes_per_second: float, way: str, kind: Kind = Kind.CACHE) -> FetchReport:
        """All of it, once the artifact is there."""
        moved = self.moved_bytes(Way.ORIGIN)
        return FetchReport(
            bytes_moved=moved,
            bytes_saved=max(0, manifest.size_bytes - moved - self.had_bytes),
            bytes_total=manifest.size_bytes,
            stage_seconds=dict(self._seconds),
            bytes_planned=self.planned_bytes,
            bytes_per_second=bytes_per_second,
            way=way,
            kind=kind,
        )
