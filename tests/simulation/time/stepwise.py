"""Blocking code that takes simulated time: it stops where it would wait, until its process goes on.

The code runs in a thread of its own, and exactly one thread runs at any moment, so a seed stays the same world.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

_here = threading.local()


class Gone(BaseException):
    """The process of the code is gone."""


class Stepwise:
    """One run of ``code``. ``go_on`` runs it to its next stop; ``seconds`` says how long it is to stand there."""

    def __init__(self, code: Callable[[], object]) -> None:
        self.over = False
        self.seconds = 0.0
        self.result: object = None
        self.error: BaseException | None = None
        self._code = code
        self._gone = False
        self._thread = _Thread.idle.pop() if _Thread.idle else _Thread()
        self._thread.run = self

    def go_on(self) -> None:
        """Run to the next stop, or to the end."""
        if not self.over:
            self._thread.turn.release()
            self._thread.stopped.acquire()
            if self.over:
                _Thread.idle.append(self._thread)

    def abandon(self) -> None:
        """It never goes on."""
        self._gone = True
        self.go_on()

    def begin(self) -> None:
        """Called on the thread."""
        try:
            if not self._gone:
                self.result = self._code()
        except BaseException as error:
            self.error = error
        self.over = True

    def stop(self, seconds: float) -> None:
        """Called by the code."""
        self.seconds = seconds
        self._thread.stopped.release()
        self._thread.turn.acquire()
        if self._gone:
            raise Gone


class _Thread:
    """Runs one after the other, each when it is given its turn."""

    idle: list[_Thread] = []  # noqa: RUF012

    def __init__(self) -> None:
        self.run: Stepwise | None = None
        self.turn, self.stopped = threading.Lock(), threading.Lock()
        self.turn.acquire()
        self.stopped.acquire()
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        while True:
            self.turn.acquire()
            assert self.run is not None
            _here.running = self.run
            self.run.begin()
            self.run = _here.running = None
            self.stopped.release()


class AtOnce:
    """One run of ``code`` in a single moment; ``seconds`` adds up how long it would have taken."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def run(self, code: Callable[[], object]) -> object:
        """Its result."""
        with _running(self):
            return code()

    def stop(self, seconds: float) -> None:
        """Called by the code."""
        self.seconds += seconds


def wait_here(seconds: float) -> None:
    """Let simulated time pass, if the code that calls this is run in it."""
    running: Stepwise | AtOnce | None = getattr(_here, "running", None)
    if running is not None:
        running.stop(seconds)


@contextmanager
def _running(run: AtOnce | None) -> Iterator[None]:
    before, _here.running = getattr(_here, "running", None), run
    try:
        yield
    finally:
        _here.running = before


def in_one_go() -> AbstractContextManager[None]:
    """Somebody else's code, run in between, takes no time."""
    return _running(None)
