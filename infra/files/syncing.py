"""Having many files on the disk at once. One by one, each would wait for a commit of the file system of its own."""

import errno
import os
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

THREADS = 8
TOGETHER_FROM = 64
"""So many files and folders are synced with everything else that their file system has to write."""


def sync_all(folder: Path, paths: Collection[Path]) -> None:
    """Have files and folders below ``folder`` on the disk, bytes and names.

    Args:
        folder: of one file system with all of ``paths``.
        paths: what was written, with every folder in which names appeared.

    Raises:
        OSError: the disk.
    """
    if len(paths) >= TOGETHER_FROM and _sync_file_system(folder):
        return
    if paths:
        with ThreadPoolExecutor(min(THREADS, len(paths)), "sync") as pool:
            for _ in pool.map(sync, paths):
                pass


def sync(path: Path) -> None:
    """Have one file's bytes, or one folder's names, on the disk.

    Raises:
        OSError: the disk.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def folders_of(folder: Path, files: Iterable[Path]) -> set[Path]:
    """``folder``, and all below it that lead to ``files``."""
    found = {folder}
    for file in files:
        for parent in file.parents:
            if parent in found:
                break
            found.add(parent)
    return found


def _sync_file_system(folder: Path) -> bool:
    """Whether everything that a file system has to write is on the disk; False: this system can't be asked for that."""
    import ctypes  # few programs have so many files

    call = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if call is None:
        return False
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if call(descriptor) == 0:
            return True
        number = ctypes.get_errno()
        if number in {errno.ENOSYS, errno.EOPNOTSUPP}:
            return False
        raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(descriptor)
