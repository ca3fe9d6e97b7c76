"""How long the stream waits for answers that come soon: what they let in is then written into the table at once."""

import asyncio
from collections.abc import Callable

WAIT_SECONDS = 0.25
"""For one answer."""
BURST_SECONDS, SHARE = 0.5, 0.1
"""For all of them: so long at once, and such a part of the time. It may be a flood."""
AGAIN_SECONDS = 1.0
"""Between two waits for the same."""
REMEMBERED_MAX = 10_000


class Patience:
    """For one event loop.

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
