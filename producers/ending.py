"""What fails while the interpreter ends has no caller any more: Python prints the error, and exits with 0 all the same.

That is so for callbacks of ``atexit``, and for threads that outlive the main one. Ending the process there would lose
what other callbacks have yet to write. What CPython documents (``sys.exit``) is that a standard stream that can't be
flushed at the very end makes the exit code 120: the last flush is made to fail, after it has written everything.
"""

import inspect
import io
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from modelcast.infra.threads import is_ending

EXIT_CODE = 120


@contextmanager
def heard_at_exit(what: str) -> Iterator[None]:
    """Around a call: if its error reaches no caller while the interpreter ends, the process exits with 120.

    Args:
        what: it is, for people.
    """
    try:
        yield
    except Exception as error:
        if is_ending():
            _watch(error, f"{what} failed while the interpreter was ending: exit code {EXIT_CODE}")
        raise


def _watch(error: Exception, message: str) -> None:
    """Have the exit code set if the error is the end of a callback or thread. A caller may still handle it."""
    of_callbacks, of_threads = sys.unraisablehook, threading.excepthook

    def in_callback(unraisable: "sys.UnraisableHookArgs") -> None:
        of_callbacks(unraisable)
        if _comes_of(unraisable.exc_value, error):
            _fail_last_flush(message)

    def in_thread(args: threading.ExceptHookArgs) -> None:
        of_threads(args)
        if _comes_of(args.exc_value, error):
            _fail_last_flush(message)

    sys.unraisablehook, threading.excepthook = in_callback, in_thread


def _comes_of(raised: BaseException | None, error: Exception) -> bool:
    seen: set[int] = set()
    while raised is not None and id(raised) not in seen:
        if raised is error:
            return True
        seen.add(id(raised))
        raised = raised.__cause__ or raised.__context__
    return False


def _fail_last_flush(message: str) -> None:
    if not isinstance(sys.stdout, _LastFlush):
        there = sys.stdout is not None and not sys.stdout.closed
        sys.stdout = _LastFlush(sys.stdout if there else io.StringIO(), message)


class _LastFlush:
    """A stream as it is, but that the interpreter's own flush at the end fails once everything is written."""

    def __init__(self, stream: TextIO, message: str) -> None:
        self._stream, self._message = stream, message

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __repr__(self) -> str:
        return "standard output"

    def flush(self) -> None:
        """Flush the stream; raise ``OSError`` where no Python code has called it."""
        self._stream.flush()
        here = inspect.currentframe()
        if here is not None and here.f_back is None:
            raise OSError(self._message)
