"""Writing into a preallocated file, through the page cache or straight to the disk."""

import errno
import mmap
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

from modelcast.schemas.manifest import BLOCK_SIZE_BYTES

DIRECT_ALIGN_BYTES = 4096
"""What places, lengths and memory have to be multiples of; no disk in use asks for more."""
DIRECT_FROM_BYTES = 8 * BLOCK_SIZE_BYTES
DIRECT_REFUSALS = {errno.EINVAL, errno.EOPNOTSUPP}


class Target:
    """A file that several threads fill at different places; one that is ``direct`` is for one thread.

    Args:
        path: the file, as long as it will be.
        lock: held while writing through the page cache. Who waits for it sleeps; for the kernel's own he would spin.
        direct: write past the page cache what can be: whole pages, if the file system allows it.
    """

    def __init__(self, path: Path, lock: AbstractContextManager[object] | None = None, *, direct: bool = False) -> None:
        self._lock = lock or nullcontext()
        self._direct: int | None = None
        self._fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        if direct:
            with suppress(OSError):
                self._direct = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_DIRECT)

    def __enter__(self) -> "Target":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, chunk: memoryview, at: int) -> None:
        """Write all of ``chunk``.

        Raises:
            OSError: the disk.
        """
        if self._direct is not None and at % DIRECT_ALIGN_BYTES == 0 and len(chunk) % DIRECT_ALIGN_BYTES == 0:
            try:
                _write(self._direct, chunk, at)
            except OSError as error:
                if error.errno not in DIRECT_REFUSALS:
                    raise
                os.close(self._direct)
                self._direct = None
            else:
                return
        with self._lock:
            _write(self._fd, chunk, at)

    def close(self) -> None:
        """The file stays."""
        for fd in (self._fd, self._direct):
            if fd is not None:
                os.close(fd)


def _write(fd: int, chunk: memoryview, at: int) -> None:
    written = 0
    while written < len(chunk):
        written += os.pwrite(fd, chunk[written:], at + written)


class BlockBuffers:
    """A block of memory for each reader, used again and again: to have fresh memory costs. Thread-safe."""

    def __init__(self) -> None:
        self._idle: list[memoryview] = []

    @contextmanager
    def one(self) -> Iterator[memoryview]:
        """A block's memory, which begins at a page."""
        try:
            buffer = self._idle.pop()
        except IndexError:
            buffer = memoryview(mmap.mmap(-1, BLOCK_SIZE_BYTES))
        try:
            yield buffer
        finally:
            self._idle.append(buffer)
