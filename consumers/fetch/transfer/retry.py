"""Few and short retries of what the link did. Long ones are the caller's: it knows how many models wait."""

import random
from collections.abc import Callable
from typing import TypeVar

from modelcast.consumers.fetch.context import Context
from modelcast.schemas.backoff import backoff_seconds
from modelcast.schemas.errors import TransportError

ATTEMPTS = 3
PAUSE_SECONDS = 0.4
PAUSE_SECONDS_MAX = 5.0
PROGRESS_BYTES = 16 * 1024
"""An attempt that brought so much was not in vain: what comes after it counts from the start again."""

T = TypeVar("T")


def retried(
    act: Callable[[], T],
    context: Context,
    attempts: int = ATTEMPTS,
    *,
    position: Callable[[], int] = lambda: 0,
) -> T:
    """``act()``, again after a ``TransportError``, with growing pauses of any length up to a bound (full jitter).

    Args:
        act: what to do.
        context: looked at before each attempt and while pausing.
        attempts: in a row without progress.
        position: how far ``act`` has come, in bytes.

    Raises:
        FetchCancelled: the fetch is not wanted any more.
        TransportError: that of the last attempt.
    """
    attempt, reached = 0, position()
    while True:
        context.check()
        try:
            return act()
        except TransportError:
            if position() - reached >= PROGRESS_BYTES:
                attempt, reached = 0, position()
            attempt += 1
            if attempt >= attempts:
                raise
        context.sleep(random.uniform(0, backoff_seconds(PAUSE_SECONDS, attempt + 1, PAUSE_SECONDS_MAX)))
