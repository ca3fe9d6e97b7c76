"""A file's bytes, read as they are asked for.

A process that reads a mapped file dies of a signal when its owner shortens it. Files of others are therefore looked
into this way; what is read whole is copied first, or mapped all the same where a person asks for it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, overload

from modelcast.deltas.codec.files import opened
from modelcast.schemas.errors import ContentError

WINDOW_BYTES = 4096
SMALL_BYTES = 512


class Bytes(Protocol):
    """What a ``memoryview`` of bytes can do as well."""

    def __len__(self) -> int: ...

    @overload
    def __getitem__(self, at: int, /) -> int: ...

    @overload
    def __getitem__(self, part: slice, /) -> memoryview: ...


class FileBytes:
    """An open file. Not thread-safe: it remembers what it read last.

    Slices have no step; both kinds of reading raise ``ContentError`` where the file has become shorter.
    """

    def __init__(self, handle: int, size_bytes: int, subject: str) -> None:
        self._handle, self._size_bytes, self._subject = handle, size_bytes, subject
        self._start, self._window = 0, memoryview(b"")

    def __len__(self) -> int:
        return self._size_bytes

    @overload
    def __getitem__(self, at: int, /) -> int: ...

    @overload
    def __getitem__(self, part: slice, /) -> memoryview: ...

    def __getitem__(self, at: int | slice, /) -> int | memoryview:
        if isinstance(at, slice):
            start, stop, _ = at.indices(self._size_bytes)
            stop = max(start, stop)
            return self._read(start, stop) if stop - start > SMALL_BYTES else self._looked_at(start, stop)
        if not 0 <= at < self._size_bytes:
            raise IndexError(at)
        return self._looked_at(at, at + 1)[0]

    def _looked_at(self, start: int, stop: int) -> memoryview:
        """A few bytes: most often what lies around them is wanted next."""
        if not self._start <= start <= stop <= self._start + len(self._window):
            self._window = self._read(start, min(start + WINDOW_BYTES, self._size_bytes))
            self._start = start
        return self._window[start - self._start : stop - self._start]

    def _read(self, start: int, stop: int) -> memoryview:
        found = memoryview(bytearray(stop - start))
        left, at = found, start
        while left:
            count = os.preadv(self._handle, [left], at)
            if not count:
                raise ContentError("it became shorter while it was read", subject=self._subject)
            left, at = left[count:], at + count
        return found


@contextmanager
def in_pieces(path: Path) -> Iterator[FileBytes]:
    """The bytes of a file that others may change. Raises as ``opened``."""
    with opened(path) as file:
        yield FileBytes(file.fileno(), os.fstat(file.fileno()).st_size, str(path))
