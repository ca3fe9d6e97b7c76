"""What one fetch has cost so far."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from modelcast.consumers.fetch.download import Download
from modelcast.consumers.fetch.plan import Way
from modelcast.consumers.fetch.report import FetchReport
from modelcast.consumers.fetch.ways import Kind
from modelcast.schemas.manifest import Manifest


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
