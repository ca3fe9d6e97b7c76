"""Writing into a preallocated file."""

import mmap
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from modelcast.schemas.manifest import BLOCK_SIZE_BYTES


class Target:
    """A file that several threads fill at different places.

    Args:
        path: the file, as long as it will be.
        lock: held while writing. Who waits for it sleeps; for the kernel's own he would spin.
    """

    def __init__(self, path: Path, lock: AbstractContextManager[object] | None = None) -> None:
        self._lock = lock or nullcontext()
        self._fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)

    def __enter__(self) -> "Target":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, chunk: memoryview, at: int) -> None:
        """Write all of ``chunk``.

        Raises:
            OSError: the disk.
        """
        with self._lock:
            written = 0
            while written < len(chunk):
                written += os.pwrite(self._fd, chunk[written:], at + written)

    def close(self) -> None:
        """The file stays."""
        os.close(self._fd)


class BlockBuffers:
    """A block of memory for each reader, used again and again: to have fresh memory costs. Thread-safe."""

    def __init__(self) -> None:
        self._idle: list[memoryview] = []

    @contextmanager
    def one(self) -> Iterator[memoryview]:
        """A block's memory."""
        try:
            buffer = self._idle.pop()
        except IndexError:
            buffer = memoryview(mmap.mmap(-1, BLOCK_SIZE_BYTES))
        try:
            yield buffer
        finally:
            self._idle.append(buffer)
