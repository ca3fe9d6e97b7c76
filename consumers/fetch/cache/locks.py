"""Locks between processes: ``flock`` on a file. The kernel releases them when their holder dies."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelcast.consumers.fetch.context import Context
from modelcast.consumers.fetch.errors import FetchCancelled

POLL_SECONDS = 0.01
POLL_SECONDS_MAX = 0.25


@contextmanager
def shared(path: Path) -> Iterator[None]:
    """Hold ``path`` together with others. Waits for an exclusive holder, who is expected to be quick."""
    fd = _acquire(path, fcntl.LOCK_SH)
    assert fd is not None
    try:
        yield
    finally:
        os.close(fd)


@contextmanager
def exclusive(path: Path, *, context: Context | None = None) -> Iterator[None]:
    """Hold ``path`` alone; waits for its turn.

    Raises:
        FetchCancelled: the lock is not wanted any more.
    """
    pause_seconds = POLL_SECONDS
    while (fd := _acquire(path, fcntl.LOCK_EX | fcntl.LOCK_NB)) is None:
        if context is not None and context.cancelled():
            raise FetchCancelled("cancelled while another process fetched the same artifact", subject=str(path))
        time.sleep(pause_seconds)
        pause_seconds = min(pause_seconds * 1.5, POLL_SECONDS_MAX)
    try:
        yield
    finally:
        os.close(fd)


@contextmanager
def alone_or_not(path: Path) -> Iterator[bool]:
    """Whether ``path`` could be held alone at once; if so it is, inside."""
    fd = _acquire(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        yield fd is not None
    finally:
        if fd is not None:
            os.close(fd)


def _acquire(path: Path, operation: int) -> int | None:
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(fd, operation)
            # A lock on a file that was unlinked meanwhile guards nothing.
            if _is(fd, path):
                return fd
        except BlockingIOError:
            os.close(fd)
            return None
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _is(fd: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(fd)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
