"""What all parts of one fetch share: a clock, whether it is still wanted, who hears of its progress, a meter."""

import time
from collections.abc import Callable
from typing import Protocol

from modelcast.consumers.fetch.errors import FetchCancelled
from modelcast.consumers.fetch.meter import FetchMeter
from modelcast.schemas.ports import Progress

POLL_SECONDS = 0.05


class Clock(Protocol):
    """Time as a fetch sees it."""

    def monotonic(self) -> float:
        """Seconds since some moment."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let them pass."""
        ...


class SystemClock:
    """This machine's."""

    def monotonic(self) -> float:
        """See ``time.monotonic``."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """See ``time.sleep``."""
        time.sleep(seconds)


class End(Protocol):
    """What may end a fetch, or a part of it; ``threading.Event`` is one."""

    def is_set(self) -> bool:
        """Whether it is over. It may raise an error that says why."""
        ...


class Context:
    """One fetch's, or a part of one. Thread-safe.

    Args:
        ends: any of them cancels.
        clock: what waiting goes by.
        meter: counts what the fetch costs.
        on_progress: called with the number of further verified bytes.

    Attributes:
        clock: see above.
        meter: see above.
    """

    def __init__(
        self,
        *ends: End,
        clock: Clock | None = None,
        meter: FetchMeter | None = None,
        on_progress: Progress | None = None,
    ) -> None:
        self.clock = clock or SystemClock()
        self.meter = meter or FetchMeter()
        self._ends = ends
        self._on_progress: Callable[[int], None] = on_progress or _silent

    def narrowed(self, *ends: End) -> "Context":
        """The same, ended by ``ends`` too."""
        return Context(*self._ends, *ends, clock=self.clock, meter=self.meter, on_progress=self._on_progress)

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return any(end.is_set() for end in self._ends)

    def check(self) -> None:
        """Raise ``FetchCancelled`` if it was cancelled."""
        if self.cancelled():
            raise FetchCancelled("the fetch was cancelled")

    def sleep(self, seconds: float) -> None:
        """Wait, as long as it is wanted.

        Raises:
            FetchCancelled: it no longer is.
        """
        until = self.clock.monotonic() + seconds
        while (left := until - self.clock.monotonic()) > 0:
            self.check()
            self.clock.sleep(min(left, POLL_SECONDS))

    def progress(self, count: int) -> None:
        """Further bytes of the artifact are here, verified."""
        self._on_progress(count)


def _silent(_: int) -> None:
    pass
