"""Reading a file past the page cache: what was written past it would otherwise enter it after all."""

import mmap
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

from modelcast.consumers.fetch.incoming import digest_of
from modelcast.consumers.fetch.target import DIRECT_REFUSALS
from modelcast.schemas.manifest import BLOCK_SIZE_BYTES


def uncached_digest_of(path: Path) -> str:
    """The digest of a file's bytes; through the page cache where the file system refuses anything else.

    Raises:
        OSError: the disk.
    """
    digest = sha256()
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECT)
        try:
            for block in _blocks(fd):
                digest.update(block)
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno not in DIRECT_REFUSALS:
            raise
        return digest_of(path)
    return "sha256:" + digest.hexdigest()


def _blocks(fd: int) -> Iterator[memoryview]:
    """The file's blocks; while one is looked at the next is read. Each is gone when the next but one is asked for."""
    size_bytes = os.fstat(fd).st_size
    buffers = [memoryview(mmap.mmap(-1, BLOCK_SIZE_BYTES)) for _ in range(2)]

    def read(number: int) -> memoryview:
        buffer = buffers[number % 2]
        return buffer[: os.preadv(fd, [buffer], number * BLOCK_SIZE_BYTES)]

    with ThreadPoolExecutor(1, "ahead") as ahead:
        count = -(-size_bytes // BLOCK_SIZE_BYTES)
        coming = ahead.submit(read, 0)
        for number in range(count):
            block = coming.result()
            if number + 1 < count:
                coming = ahead.submit(read, number + 1)
            yield block
