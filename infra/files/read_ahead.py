"""Reading files that are not in the page cache yet, in large pieces: the kernel's own look ahead is 128 KiB."""

import mmap
import os
from collections.abc import Iterator
from contextlib import suppress

from modelcast.infra.threads import Threads

PIECE_BYTES = 1024 * 1024
AHEAD_PIECES = 4


def wanted_soon(fd: int, at: int, size_bytes: int) -> None:
    """Have the disk bring these bytes into the page cache, without waiting; bytes that are there cost nothing."""
    with suppress(OSError):
        os.posix_fadvise(fd, at, size_bytes, os.POSIX_FADV_WILLNEED)


def pieces(fd: int) -> Iterator[memoryview]:
    """A file's bytes in order; the next piece is read while one is used, and each is valid until the next is taken.

    Raises:
        OSError: the disk.
    """
    buffers = [memoryview(mmap.mmap(-1, PIECE_BYTES)) for _ in range(2)]

    def read(number: int) -> memoryview:
        wanted_soon(fd, (number + AHEAD_PIECES) * PIECE_BYTES, PIECE_BYTES)
        buffer, filled = buffers[number % 2], 0
        while count := os.preadv(fd, [buffer[filled:]], number * PIECE_BYTES + filled):
            filled += count
        return buffer[:filled]

    wanted_soon(fd, 0, AHEAD_PIECES * PIECE_BYTES)
    with Threads(1, "ahead") as ahead:
        number, coming = 0, ahead.submit(read, 0)
        while piece := coming.result():
            number += 1
            coming = ahead.submit(read, number)
            yield piece
