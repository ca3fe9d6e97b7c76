"""Blocking code that takes simulated time: it stops at each call to the store until its process goes on.

The code runs in a thread of its own, and exactly one thread runs at any moment, so a seed stays the same world.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_here = threading.local()


class Gone(BaseException):
    """The process of the code is gone."""


class Stepwise:
    """One run of ``code``. ``go_on`` runs it to its next stop."""

    def __init__(self, code: Callable[[], object]) -> None:
        self.over = False
        self.result: object = None
        self.error: BaseException | None = None
        self._code = code
        self._turn, self._stopped = threading.Semaphore(0), threading.Semaphore(0)
        self._gone = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def go_on(self) -> None:
        """Run to the next stop, or to the end."""
        if not self.over:
            self._turn.release()
            self._stopped.acquire()

    def abandon(self) -> None:
        """It never goes on."""
        self._gone = True
        self.go_on()
        self._thread.join()

    def _run(self) -> None:
        self._turn.acquire()
        _here.stepwise = self
        try:
            if not self._gone:
                self.result = self._code()
        except BaseException as error:
            self.error = error
        self.over = True
        self._stopped.release()

    def _stop(self) -> None:
        self._stopped.release()
        self._turn.acquire()
        if self._gone:
            raise Gone


def stop_here() -> None:
    """Let simulated time pass, if the code that calls this is run stepwise."""
    running: Stepwise | None = getattr(_here, "stepwise", None)
    if running is not None:
        running._stop()


@contextmanager
def in_one_go() -> Iterator[None]:
    """Somebody else's code, run in between, does not stop."""
    running, _here.stepwise = getattr(_here, "stepwise", None), None
    try:
        yield
    finally:
        _here.stepwise = running
