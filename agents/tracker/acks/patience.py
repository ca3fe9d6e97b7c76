"""How long the stream waits for answers about a report: a report that is decided soon goes into the table at once."""

import asyncio
from collections.abc import Callable

WAIT_SECONDS = 0.25
"""Seconds that it waits for one answer."""
BURST_SECONDS, SHARE = 0.5, 0.1
"""Limits on all waits together, because reports may come as a flood: seconds in a row, and a part of all time."""
AGAIN_SECONDS = 1.0
"""Seconds between two waits for the same report."""
REMEMBERED_MAX = 10_000


class Patience:
    """Bounds how long the stream waits for answers. It belongs to one event loop.

    Args:
        now: monotonic seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._left, self._at = BURST_SECONDS, now()
        self._waited_at: dict[tuple[str, str], float] = {}

    async def wait(self, answer: asyncio.Future[None], about: tuple[str, str]) -> None:
        """Wait a moment for an answer about something; not at all where too much was waited already."""
        began = self._now()
        self._left = min(BURST_SECONDS, self._left + SHARE * (began - self._at))
        self._at = began
        if self._left > 0 and began - self._waited_at.get(about, float("-inf")) >= AGAIN_SECONDS:
            if len(self._waited_at) >= REMEMBERED_MAX:
                self._waited_at.clear()
            self._waited_at[about] = began
            await asyncio.wait({answer}, timeout=WAIT_SECONDS)
            self._left -= self._now() - began
