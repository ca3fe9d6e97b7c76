"""How many bytes of each block are written, in a small file beside: being killed then costs next to nothing.

It is written after the bytes, without waiting for the disk: after a power failure it may promise too much. So it shows
where to go on, and proves nothing.
"""

import os
import struct
import threading
from contextlib import suppress
from pathlib import Path

from modelcast.consumers.fetch.planning.blocks import block_bytes

_HEAD = struct.Struct("<4sQH498s")  # magic, size of the object, its mark's length, its mark
_MARK_BYTES_MAX = 498
_COUNT = struct.Struct("<I")
_MAGIC = b"MCB1"


class ResumeJournal:
    """One object's. Thread-safe.

    Args:
        place: the small file; it is made when there is something to say.
        size_bytes: of the whole object.
    """

    def __init__(self, place: Path, size_bytes: int) -> None:
        self._place = place
        self._size_bytes = size_bytes
        self._mark: str | None = None  # what the small file says it is of, once that was looked up
        self._lock = threading.Lock()

    def read(self) -> tuple[str, dict[int, int]]:
        """The mark of what was being brought, and the bytes that are written, by block; ("", {}): not known."""
        with suppress(OSError, struct.error, UnicodeDecodeError):
            data = self._place.read_bytes()
            magic, size_bytes, length, mark = _HEAD.unpack_from(data)
            if magic == _MAGIC and size_bytes == self._size_bytes:
                counts = enumerate(each for (each,) in _COUNT.iter_unpack(data[_HEAD.size :]))
                return mark[:length].decode(), {
                    n: count for n, count in counts if 0 < count <= block_bytes(self._size_bytes, n)
                }
        return "", {}

    def is_there(self) -> bool:
        """Whether the small file lies there."""
        return self._place.exists()

    def begin(self) -> None:
        """Be there, and say that nothing is written.

        Raises:
            OSError: the disk.
        """
        self._mark = None
        self._place.write_bytes(b"")

    def note(self, mark: str, block: int, count: int) -> None:
        """So many bytes of a block are written. ``mark`` is the object's, and stays the same.

        What can't be noted will come again: that is no reason to fail.
        """
        with self._lock, suppress(OSError):
            fd = self._opened(mark)  # not kept open: there may be more files than a process may have open
            try:
                os.pwrite(fd, _COUNT.pack(count), _HEAD.size + block * _COUNT.size)
            finally:
                os.close(fd)

    def forget(self) -> None:
        """Nothing is written, or all of it is."""
        self._mark = None
        self._place.unlink(missing_ok=True)

    def _opened(self, mark: str) -> int:
        if self._mark != mark:
            before, _ = self.read()
            if before != mark:
                name = mark.encode()[:_MARK_BYTES_MAX]
                self._place.parent.mkdir(exist_ok=True)
                self._place.write_bytes(_HEAD.pack(_MAGIC, self._size_bytes, len(name), name))
            self._mark = mark
        return os.open(self._place, os.O_WRONLY | os.O_CLOEXEC)
