"""Few and short retries of what the link did. Long ones are the caller's: it knows how many models wait."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from modelcast.consumers.fetch.errors import FetchCancelled
from modelcast.schemas.errors import TransportError

ATTEMPTS = 3
PAUSE_SECONDS = 0.2
_POLL_SECONDS = 0.05

T = TypeVar("T")


def retried(act: Callable[[], T], cancelled: Callable[[], bool], attempts: int = ATTEMPTS) -> T:
    """``act()``, again after a ``TransportError``, with growing and jittered pauses.

    Raises:
        FetchCancelled: ``cancelled`` became true before an attempt.
        TransportError: that of the last attempt.
    """
    for attempt in range(1, attempts + 1):
        check(cancelled)
        try:
            return act()
        except TransportError:
            if attempt == attempts:
                raise
        until = time.monotonic() + PAUSE_SECONDS * 2**attempt * random.uniform(0.5, 1)
        while time.monotonic() < until:
            check(cancelled)
            time.sleep(_POLL_SECONDS)
    raise AssertionError("unreachable")


def check(cancelled: Callable[[], bool]) -> None:
    """Raise ``FetchCancelled`` if the caller no longer wants it."""
    if cancelled():
        raise FetchCancelled("the fetch was cancelled")
