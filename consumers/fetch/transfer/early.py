"""Asking for what will probably be wanted, before it is known to be."""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, TypeVar, runtime_checkable

from modelcast.schemas.ports import ObjectStore

T = TypeVar("T")


@runtime_checkable
class Warmable(Protocol):
    """A store that can prepare for reads to come."""

    def warm(self, connections: int) -> None:
        """Have so many connections soon, beside the caller. Never raises."""
        ...


def reads_to_come(store: ObjectStore, readers: int) -> None:
    """So many will read at once, soon: over a long link, connecting then would take a round trip more."""
    if isinstance(store, Warmable):
        store.warm(readers)


def started(act: Callable[[], T], patience_seconds: float | None = None) -> Callable[[], T | None]:
    """Begin ``act()`` beside the caller; calling the result waits for its outcome: None if it failed.

    It need not be waited for, not even at the end of the process: a store that is away answers late.

    Args:
        patience_seconds: how long the outcome is waited for; None: for ever.
    """
    outcome: list[T] = []

    def run() -> None:
        with suppress(Exception):  # a caller that still wants it asks again, and gets the error then
            outcome.append(act())

    thread = threading.Thread(target=run, name="early", daemon=True)
    thread.start()

    def ended() -> T | None:
        thread.join(patience_seconds)
        return outcome[0] if outcome else None

    return ended
