"""A pool of threads for programs that fork, and that still have something to publish while they end."""

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from modelcast.infra.forks import renew_in_children

P = ParamSpec("P")
T = TypeVar("T")


class Threads(Executor):
    """Like ``ThreadPoolExecutor``, in two situations that it does not know.

    In a forked child it has threads of its own. Once the interpreter is ending (``atexit``, or a thread that outlives
    the main one), no thread can be started: then ``submit`` makes the call itself, before it returns.
    """

    def __init__(self, count: int, name: str) -> None:
        self._count, self._name = count, name
        self._closed = False
        self.after_fork()
        renew_in_children(self)

    def after_fork(self) -> None:
        """See ``Inherited``."""
        self._pool = ThreadPoolExecutor(self._count, thread_name_prefix=self._name)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """See ``Executor``."""
        try:
            return self._pool.submit(fn, *args, **kwargs)
        except RuntimeError:
            if self._closed or not is_ending():
                raise
        done: Future[T] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except BaseException as error:
            done.set_exception(error)
            if not isinstance(error, Exception):
                raise
        return done

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """See ``Executor``."""
        self._closed = True
        self._pool.shutdown(wait, cancel_futures=cancel_futures)


def is_ending() -> bool:
    """Whether the main thread has ended, so that the interpreter starts no threads any more."""
    return not threading.main_thread().is_alive()
