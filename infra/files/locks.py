"""Locks between processes: ``flock`` on a file or folder. The kernel releases them when their holder dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def acquire(path: Path, *, shared: bool = False, wait: bool = True, folder: bool = False) -> int | None:
    """Lock ``path``: the descriptor that holds the lock until it is closed; None: another has it, and ``wait`` is off.

    A lock on what was removed or replaced meanwhile guards nothing, so it is taken again.

    Args:
        path: a file, which is made if it does not exist, or a folder.
        shared: together with others that share it.
        wait: until nobody else has it.
        folder: ``path`` is one, and exists.

    Raises:
        OSError: it can't be opened, or its file system has no locks.
    """
    kind = os.O_RDONLY | os.O_DIRECTORY if folder else os.O_RDWR | os.O_CREAT
    while True:
        descriptor = os.open(path, kind | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
            if _is_at(descriptor, path):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


@contextmanager
def held(path: Path, *, shared: bool = False) -> Iterator[int]:
    """Hold ``path`` inside, alone or together with others; waits for its turn.

    Yields:
        The descriptor: a process that inherits it prolongs the lock until it closes it.
    """
    descriptor = acquire(path, shared=shared)
    assert descriptor is not None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def held_if_free(path: Path, *, folder: bool = False) -> Iterator[bool]:
    """Whether ``path`` could be held alone at once; if so it is, inside."""
    descriptor = acquire(path, wait=False, folder=folder)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
