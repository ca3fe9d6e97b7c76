"""Few and short retries of what the link did. Long ones are the caller's: it knows how many models wait."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from modelcast.consumers.fetch.errors import FetchCancelled
from modelcast.schemas.errors import TransportError

ATTEMPTS = 3
PAUSE_SECONDS = 0.4
PAUSE_SECONDS_MAX = 5.0
PROGRESS_BYTES = 16 * 1024
"""An attempt that brought so much was not in vain: what comes after it counts from the start again."""
_POLL_SECONDS = 0.05

T = TypeVar("T")


def retried(
    act: Callable[[], T],
    cancelled: Callable[[], bool],
    attempts: int = ATTEMPTS,
    *,
    position: Callable[[], int] = lambda: 0,
) -> T:
    """``act()``, again after a ``TransportError``, with growing pauses of any length up to a bound (full jitter).

    Args:
        act: what to do.
        cancelled: asked before each attempt and while pausing; it may raise an end of its own.
        attempts: in a row without progress.
        position: how far ``act`` has come, in bytes.

    Raises:
        FetchCancelled: ``cancelled`` became true before an attempt.
        TransportError: that of the last attempt.
    """
    attempt, reached = 0, position()
    while True:
        check(cancelled)
        try:
            return act()
        except TransportError:
            if position() - reached >= PROGRESS_BYTES:
                attempt, reached = 0, position()
            attempt += 1
            if attempt >= attempts:
                raise
        _pause(random.uniform(0, min(PAUSE_SECONDS * 2**attempt, PAUSE_SECONDS_MAX)), cancelled)


def _pause(seconds: float, cancelled: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        check(cancelled)
        time.sleep(min(left, _POLL_SECONDS))


def check(cancelled: Callable[[], bool]) -> None:
    """Raise ``FetchCancelled`` if the caller no longer wants it."""
    if cancelled():
        raise FetchCancelled("the fetch was cancelled")
