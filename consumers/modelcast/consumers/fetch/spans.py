"""Runs of bytes on their way into preallocated files, and the SHA-256 of each file while they come, in order."""

import os
import threading
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

from modelcast.consumers.fetch.plan import Part, Step
from modelcast.schemas import keys
from modelcast.schemas.manifest import BLOCK_SIZE_BYTES

HASH_BYTES = 128 * 1024
"""Read back at once: it fits the processor's own cache, and the kernel's cache has just been given it."""
IDLE_SECONDS = 0.5


class Span:
    """A run of an object's bytes, and how many of them are written.

    Args:
        key: the object's.
        label: what people know it by.
        size_bytes: of the whole object.
        start: the first byte.
        count: how many.
        steady: nothing will prove the bytes, so at least all of them have to be of one object.
    """

    def __init__(self, key: str, label: str, size_bytes: int, start: int, count: int, *, steady: bool = False) -> None:
        self.key = key
        self.label = label
        self.size_bytes = size_bytes
        self.start = self.position = start
        self.end = start + count
        self.steady = steady
        self.origin_from: int | None = None  # from here on the origin gave the bytes

    @classmethod
    def of(cls, part: Part) -> "Span":
        """A part of an artifact's file."""
        file = part.step.file
        return cls(keys.blob(file.digest), file.path, file.size_bytes, part.start, part.size_bytes)

    @property
    def left_bytes(self) -> int:
        """Still to come."""
        return self.end - self.position

    def back_to_block(self) -> None:
        """Give up a block that has begun: what follows comes from another store."""
        self.position = max(self.start, self.position // BLOCK_SIZE_BYTES * BLOCK_SIZE_BYTES)

    def write(self, fd: int, chunk: memoryview) -> None:
        """Write what came; only then it counts."""
        written = 0
        while written < len(chunk):
            written += os.pwrite(fd, chunk[written:], self.position + written)
        self.position += len(chunk)


class ArrivingFile:
    """A file of which some spans are on their way; what lies between them is there."""

    def __init__(self, step: Step, path: Path, spans: Sequence[Span]) -> None:
        self.step = step
        self.file = step.file
        self.path = path
        self.spans = sorted(spans, key=lambda span: span.start)
        self.hashed_bytes = 0
        self._next = 0
        self._hash = sha256()

    def frontier(self) -> int:
        """All bytes before this one are there."""
        while self._next < len(self.spans) and not self.spans[self._next].left_bytes:
            self._next += 1
        return self.file.size_bytes if self._next == len(self.spans) else self.spans[self._next].position

    def hash_on(self, fd: int, buffer: memoryview) -> int:
        """Hash as much of what is there as ``buffer`` holds; how much that was.

        Raises:
            OSError: the file is shorter than it was made.
        """
        due = min(len(buffer), self.frontier() - self.hashed_bytes)
        if due <= 0:
            return 0
        count = os.preadv(fd, [buffer[:due]], self.hashed_bytes)
        if count == 0:
            raise OSError(f"{self.path} was cut short while it was being written")
        self._hash.update(buffer[:count])
        self.hashed_bytes += count
        return count

    @property
    def digest(self) -> str:
        """Of what was hashed."""
        return "sha256:" + self._hash.hexdigest()

    def from_origin(self, block: int) -> bool:
        """Whether the origin gave (a piece of) a block."""
        start = block * BLOCK_SIZE_BYTES
        return any(s.origin_from is not None and s.origin_from <= start < s.end for s in self.spans)


class InOrder:
    """Hashes files one after the other while they arrive.

    Args:
        files: in the order in which their bytes are asked for.
        is_over: asked often; once true the files that are not done stay so.
    """

    def __init__(self, files: Sequence[ArrivingFile], is_over: Callable[[], bool]) -> None:
        self._files = files
        self._is_over = is_over
        self._came = threading.Event()

    def came(self) -> None:
        """More bytes are there."""
        self._came.set()

    def run(self) -> None:
        """Hash until every file is done."""
        size = max((file.file.size_bytes for file in self._files), default=0)
        buffer = memoryview(bytearray(min(HASH_BYTES, max(size, 1))))
        for file in self._files:
            fd = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                while file.hashed_bytes < file.file.size_bytes:
                    self._came.clear()
                    if not file.hash_on(fd, buffer) and not self._wait():
                        return
            finally:
                os.close(fd)

    def _wait(self) -> bool:
        if self._is_over():
            return False
        self._came.wait(IDLE_SECONDS)
        return True
