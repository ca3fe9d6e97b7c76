"""An event loop whose clock stands while anything is to be done, and jumps to the next timer when nothing is."""

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

P = ParamSpec("P")
Ready = list[tuple[selectors.SelectorKey, int]]


class _Jumping(selectors.DefaultSelector):  # type: ignore[misc, valid-type]  # which class it is, the system decides
    """What never waits: it would have waited so long, and so much later it is."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Ready:
        ready: Ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("everybody waits, and no timer is set")
            self.now += max(0.0, timeout)
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """For code that keeps time by its loop and waits for nothing outside it."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test in a loop of its own; sleeping takes no time there, however busy the machine is."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run
