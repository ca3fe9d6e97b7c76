"""The event loop of one simulated process: production code runs on it unchanged, the scheduler says when.

``asyncio`` needs little of a loop. What is due now waits in a queue that is run to its end; what is due later goes to
the scheduler, through the process: while that is paused nothing runs, and once it has crashed nothing ever does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakSet

if TYPE_CHECKING:
    from tests.simulation.actors.process import Process


class Threads(Protocol):
    """What stands for an ``Executor``."""

    def begin(self, call: Callable[[], Any], answer: asyncio.Future[Any]) -> None:
        """Run blocking code in simulated time."""
        ...


class ProcessLoop(asyncio.AbstractEventLoop):
    """One life of ``process``."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._ready: deque[asyncio.Handle] = deque()
        self._tasks: WeakSet[asyncio.Task[Any]] = WeakSet()
        self.dead = False

    def run(self, action: Callable[[], object]) -> None:
        """``action``, and all that follows from it at once."""
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            action()
            while self._ready and not self.dead and not self._process.paused:
                handle = self._ready.popleft()
                if not handle._cancelled:
                    handle._run()
        finally:
            asyncio._set_running_loop(before)

    def end(self) -> None:
        """Nothing runs here any more; what had begun is let go of."""
        self.dead = True
        for task in list(self._tasks):
            if not task.done() and (running := task.get_coro()) is not None:
                running.close()

    def time(self) -> float:
        return self._process.world.now

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        if not self.dead:
            self._process.later(0.0, handle._run)
        return handle

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        if not self.dead:
            self._process.later(when - self.time(), partial(self._fire, timer))
        return timer

    @staticmethod
    def _fire(timer: asyncio.TimerHandle) -> None:
        if not timer._cancelled:
            timer._run()

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It stays in the scheduler and does nothing there."""

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, **kwargs: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(coro, loop=self, **kwargs)
        self._tasks.add(task)
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # a crash ends it
        return task

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        threads: Threads = executor
        answer = self.create_future()
        if self._process.acts():
            threads.begin(partial(func, *args), answer)
        return answer

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return self.dead

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self.dead:
            self._process.world.failed(context.get("exception") or RuntimeError(context["message"]))
