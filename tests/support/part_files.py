"""A fetch's files for tests of its transfers alone: one place, and nobody who hears."""

from dataclasses import dataclass
from pathlib import Path

from modelcast.consumers.fetch.cache.resume_journal import ResumeJournal
from modelcast.consumers.fetch.planning.parts import Part


@dataclass(frozen=True)
class OnePlace:
    """``PartFiles``: everything goes to ``place``."""

    place: Path

    def path(self, part: Part) -> Path:
        return self.place

    def journal(self, part: Part) -> ResumeJournal | None:
        return None

    def came(self, digest: str, block: int) -> None: ...

    def distrust(self, digest: str) -> None: ...
