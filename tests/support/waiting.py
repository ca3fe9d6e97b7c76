"""Waiting for a condition, with a deadline."""

import asyncio
import time
from collections.abc import Callable

SECONDS_MAX = 90.0
REST = 3.0
"""After a condition that took processor time: a pause so many times as long, for what is waited for needs it, too."""
REST_SECONDS_MAX = 0.5
NOT_YET = (AssertionError, OSError, LookupError)
"""What a condition may raise while it does not hold yet. The last of them is shown; anything else ends the waiting."""
What = str | Callable[[], str]


class _Waiting:
    def __init__(self, condition: Callable[[], object], what: What, seconds: float, every: float) -> None:
        self._condition, self._what, self._seconds, self._every = condition, what, seconds, every
        self._began = time.monotonic()
        self.pause_seconds = every

    @property
    def seconds(self) -> float:
        """So long it has been waited."""
        return time.monotonic() - self._began

    def over(self) -> bool:
        """Whether the condition holds.

        Raises:
            AssertionError: it does not, and the deadline has passed.
        """
        last, began = "", time.process_time()
        try:
            if self._condition():
                return True
        except NOT_YET as error:
            last = f" ({error!r})"
        took = time.process_time() - began
        self.pause_seconds = max(self._every, min(REST * took, REST_SECONDS_MAX))
        if self.seconds > self._seconds:
            what = self._what if isinstance(self._what, str) else self._what()
            raise AssertionError(f"not within {self._seconds:g} s: {what}{last}")
        return False


def until(
    condition: Callable[[], object],
    what: What = "what is waited for",
    seconds: float = SECONDS_MAX,
    *,
    every: float = 0.02,
) -> float:
    """Wait for ``condition``; the seconds that it took. ``what`` says what is missing if it does not come."""
    waiting = _Waiting(condition, what, seconds, every)
    while not waiting.over():
        time.sleep(waiting.pause_seconds)
    return waiting.seconds


async def until_async(
    condition: Callable[[], object],
    what: What = "what is waited for",
    seconds: float = SECONDS_MAX,
    *,
    every: float = 0.01,
) -> float:
    """``until``, for a test on an event loop."""
    waiting = _Waiting(condition, what, seconds, every)
    while not waiting.over():
        await asyncio.sleep(waiting.pause_seconds)
    return waiting.seconds
