"""Locks between processes: ``flock`` on a file or folder. The kernel releases them when their holder dies."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelcast.schemas.errors import ModelcastError

_HAS_NONE = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}
"""What network file systems answer that are mounted without locks, or whose lock server is away."""


class NoLocks(ModelcastError):
    """The file system has no locks. A folder there that only one process uses can do without."""


def acquire(path: Path, *, shared: bool = False, wait: bool = True, folder: bool = False) -> int | None:
    """Lock ``path``: the descriptor that holds the lock until it is closed; None: another has it, and ``wait`` is off.

    A lock on what was removed or replaced meanwhile guards nothing, so it is taken again.

    Args:
        path: a file, which is made if it does not exist, or a folder.
        shared: together with others that share it.
        wait: until no other process has it.
        folder: ``path`` is one, and exists.

    Raises:
        NoLocks: its file system has none.
        OSError: it can't be opened.
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
        except OSError as error:
            os.close(descriptor)
            if error.errno in _HAS_NONE:
                raise _no_locks(path, error) from error
            raise
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


@contextmanager
def held(path: Path, *, shared: bool = False) -> Iterator[int]:
    """Hold ``path`` inside, alone or together with others; waits for its turn. Raises as ``acquire``.

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
    """Whether ``path`` could be held alone at once; if so it is, inside. Raises as ``acquire``."""
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


def _no_locks(path: Path, error: OSError) -> NoLocks:
    return NoLocks(
        f"the file system of this folder can't lock files ({error.strerror})",
        subject=str(path.parent),
        hint="use a folder on a local disk, or mount this one with locks (NFS needs its lock service, Lustre -o flock)",
    )
