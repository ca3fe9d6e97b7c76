"""Protobuf's wire format, field by field: no message is built, and what is stepped over is not read."""

from collections.abc import Iterator
from typing import BinaryIO

TEXT_MAX = 4096
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""The wire types that are in use."""
_BLOCK_BYTES = 4096


class NotWellFormed(Exception):
    """These bytes are no message, or a damaged one."""


class TooManyFields(Exception):
    """So far they are a message; the rest is not looked at."""


class WireReader:
    """Reads fields of messages in a file.

    Args:
        stream: its bytes, seekable.
        fields_max: how many fields are looked at, in all.
    """

    def __init__(self, stream: BinaryIO, fields_max: int) -> None:
        self._stream = stream
        self._left = fields_max
        self._block, self._block_at = b"", 0

    def fields(self, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """The fields between two positions: number, wire type, and where the value starts and ends.

        Raises:
            NotWellFormed: they don't fill the place.
            TooManyFields: see ``fields_max``.
            OSError: the disk.
        """
        while at < end:
            self._left -= 1
            if self._left < 0:
                raise TooManyFields
            key, at = self.varint(at, end)
            start = at
            match key & 7:
                case 0:
                    _, at = self.varint(at, end)
                case 1:
                    at += 8
                case 2:
                    length, start = self.varint(at, end)
                    at = start + length
                case 5:
                    at += 4
                case _:
                    raise NotWellFormed
            if at > end or key < 8:
                raise NotWellFormed
            yield key >> 3, key & 7, start, at

    def varint(self, at: int, end: int) -> tuple[int, int]:
        """The number at a position, and the position behind it. Raises as ``fields``."""
        value = 0
        for shift in range(0, 70, 7):
            if at >= end:
                raise NotWellFormed
            byte = self._bytes(at, 1)[0]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
        raise NotWellFormed

    def text(self, start: int, end: int) -> str:
        """A short text. Raises as ``fields``."""
        if end - start > TEXT_MAX:
            raise NotWellFormed
        try:
            return self._bytes(start, end - start).decode()
        except UnicodeDecodeError:
            raise NotWellFormed from None

    def _bytes(self, at: int, count: int) -> bytes:
        begin = at - self._block_at
        if begin < 0 or begin + count > len(self._block):
            self._stream.seek(at)
            self._block, self._block_at, begin = self._stream.read(max(_BLOCK_BYTES, count)), at, 0
        found = self._block[begin : begin + count]
        if len(found) < count:
            raise NotWellFormed
        return found
