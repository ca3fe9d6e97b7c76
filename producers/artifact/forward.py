"""Bytes read once, in order: a file, a member of an archive, or what a compressed file decompresses to."""

from collections.abc import Callable

CHUNK_BYTES = 64 * 1024


class Forward:
    """A stream with a look ahead. Holds one chunk.

    Args:
        more: gives up to so many further bytes; none at the end.
        leap: passes over so many further bytes without reading them, where that can be done.
    """

    def __init__(self, more: Callable[[int], bytes], leap: Callable[[int], None] | None = None) -> None:
        self._more, self._leap = more, leap
        self._buffer, self._at = b"", 0

    def peek(self, count: int) -> bytes:
        """The next bytes, which stay; fewer at the end."""
        while len(self._buffer) - self._at < count:
            chunk = self._more(max(CHUNK_BYTES, count))
            if not chunk:
                break
            self._buffer, self._at = self._buffer[self._at :] + chunk, 0
        return self._buffer[self._at : self._at + count]

    def read(self, count: int) -> bytes:
        """The next bytes; fewer at the end."""
        found = self._buffer[self._at : self._at + count]
        if len(found) < count:
            found = self.peek(count)
        self._at += len(found)
        return found

    def skip(self, count: int) -> bool:
        """Pass over so many; False if there are fewer."""
        held = min(count, len(self._buffer) - self._at)
        self._at += held
        left = count - held
        if left > CHUNK_BYTES and self._leap is not None:
            self._leap(left - 1)
            left = 1
        while left:
            found = len(self.read(min(left, CHUNK_BYTES)))
            if not found:
                return False
            left -= found
        return True

    def line(self, kept_max: int) -> bytes | None:
        """To the next newline and past it: how the line begins, without the newline; None if there is none."""
        kept = b""
        while self.peek(1):
            end = self._buffer.find(b"\n", self._at)
            stop = len(self._buffer) if end < 0 else end
            kept += self._buffer[self._at : min(stop, self._at + kept_max - len(kept))]
            self._at = stop
            if end >= 0:
                self._at += 1
                return kept
        return None

    def at_end(self) -> bool:
        """Whether nothing is left."""
        return not self.peek(1)
