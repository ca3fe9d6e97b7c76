"""A file's bytes hashed block by block, in order."""

from collections.abc import Iterator
from hashlib import sha256

from modelcast.schemas.manifest import BLOCK_SIZE_BYTES


def block_bytes(size_bytes: int, number: int) -> int:
    """Bytes of a block of an object of this size: the last may be short, and there is none after it."""
    return max(0, min(BLOCK_SIZE_BYTES, size_bytes - number * BLOCK_SIZE_BYTES))


class BlockHashes:
    """The hashes of one run of whole blocks.

    Args:
        size_bytes: of the whole file: its last block may be short.
        position: the first byte; a block starts there.

    Attributes:
        position: where the next byte belongs.
    """

    def __init__(self, size_bytes: int, position: int = 0) -> None:
        self.position = position
        self._size_bytes = size_bytes
        self._hash = sha256()

    def update(self, chunk: memoryview) -> Iterator[tuple[int, str]]:
        """Hash what comes next, never beyond the file's end; (number, hex digest) of each block that it completes."""
        chunk = chunk[: self._size_bytes - self.position]
        while chunk:
            piece = chunk[: BLOCK_SIZE_BYTES - self.position % BLOCK_SIZE_BYTES]
            self._hash.update(piece)
            self.position += len(piece)
            chunk = chunk[len(piece) :]
            if self.position % BLOCK_SIZE_BYTES == 0 or self.position == self._size_bytes:
                yield (self.position - 1) // BLOCK_SIZE_BYTES, self._hash.hexdigest()
                self._hash = sha256()
