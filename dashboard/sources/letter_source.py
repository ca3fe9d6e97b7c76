"""The newest dead letters, read when somebody looks, by one reader for all who do."""

import asyncio
import time
from dataclasses import dataclass

from modelcast.dashboard.sources.letters import LetterGroup, letter_groups
from modelcast.infra.kafka.dead_letters import read
from modelcast.infra.settings import Settings

LETTERS_MAX = 200
KEPT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class LettersLook:
    """What one look found. ``looked_at_us``: when, UTC microseconds, this machine's clock."""

    looked_at_us: int
    total: int
    groups: tuple[LetterGroup, ...]


class LetterSource:
    """Reads the newest dead letters. It belongs to one event loop.

    Args:
        settings: where Kafka is.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = asyncio.Lock()
        self._last: LettersLook | None = None
        self._until = 0.0

    async def newest(self) -> LettersLook:
        """The newest letters, a few seconds old at most.

        Raises:
            KafkaUnavailable: Kafka can't be reached, or has no such topic.
        """
        async with self._lock:
            if self._last is None or time.monotonic() >= self._until:
                stored = await asyncio.to_thread(read, self._settings, last=LETTERS_MAX)
                self._last = LettersLook(time.time_ns() // 1000, len(stored), letter_groups(stored))
                self._until = time.monotonic() + KEPT_SECONDS
            return self._last

    def forget(self) -> None:
        """A letter was sent back: the next look reads anew."""
        self._until = 0.0
