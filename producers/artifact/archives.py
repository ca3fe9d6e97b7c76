"""What lies in archives and compressed files, member by member, without unpacking them to disk."""

import bz2
import io
import lzma
import re
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import BinaryIO, Protocol

from modelcast.producers.artifact.forward import CHUNK_BYTES, Forward

UNPACKED_MAX_BYTES = 2 * 1024**3
"""Of what is compressed, how much is looked through: some ten seconds."""
NESTED_MAX_BYTES = 256 * 1024**2
"""Of a zip inside another file, which has to be copied to be read."""
DIRECTORY_MAX_BYTES = 16 * 1024**2
"""Of a zip's list of members, some 200,000."""
PAX_MAX_BYTES = 1024**2
BLOCK = 512
_CHECKSUM = re.compile(rb" *[0-7]+[ \0]*")
_IN_MEMORY_BYTES = 8 * 1024**2
_TAIL_BYTES = 22 + 0xFFFF


_DAMAGED = (
    zipfile.BadZipFile,
    RuntimeError,
    ValueError,
    EOFError,
    IndexError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
)
"""What the standard library raises about archives; one about the disk is an OSError with a number."""


class NotLookedInto(Exception):
    """What it holds can't be determined, and why."""


class DecompressionLimit:
    """How much may still be decompressed."""

    def __init__(self) -> None:
        self._left = UNPACKED_MAX_BYTES

    def spend(self, count: int) -> None:
        """Raises NotLookedInto once it is too much."""
        self._left -= count
        if self._left < 0:
            raise NotLookedInto("holds too much to be looked through")


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = ...) -> bytes: ...


def _gzip() -> _Decompressor:
    return zlib.decompressobj(wbits=31)


_COMPRESSED: tuple[tuple[bytes, str, Callable[[], _Decompressor]], ...] = (
    (b"\x1f\x8b", "gzip", _gzip),
    (b"BZh", "bzip2", bz2.BZ2Decompressor),
    (b"\xfd7zXZ\x00", "xz", lzma.LZMADecompressor),
    (b"\x5d\x00\x00", "lzma", lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE)),
    (b"\x78\x01", "zlib", zlib.decompressobj),
    (b"\x78\x5e", "zlib", zlib.decompressobj),
    (b"\x78\x9c", "zlib", zlib.decompressobj),
    (b"\x78\xda", "zlib", zlib.decompressobj),
)
_OPAQUE = ((b"\x04\x22\x4d\x18", "lz4"), (b"\x28\xb5\x2f\xfd", "zstandard"))


def compression_of(head: bytes) -> str | None:
    """How bytes that begin so are compressed.

    Raises:
        NotLookedInto: in a way that the standard library can't undo.
    """
    for magic, name in _OPAQUE:
        if head.startswith(magic):
            raise NotLookedInto(f"is compressed with {name}")
    return next((name for magic, name, _ in _COMPRESSED if head.startswith(magic)), None)


def decompressed(stream: Forward, limit: DecompressionLimit) -> Forward:
    """What a compressed stream holds; nothing if it turns out to be none, and what there is of one that is cut off."""
    head = stream.peek(6)
    new = next(make for magic, _, make in _COMPRESSED if head.startswith(magic))
    return Forward(_Decompressed(stream, new, limit).more)


class _Decompressed:
    def __init__(self, stream: Forward, new: Callable[[], _Decompressor], limit: DecompressionLimit) -> None:
        self._stream, self._new, self._limit = stream, new, limit
        self._tool = new()
        self._waiting = b""

    def more(self, count: int) -> bytes:
        while True:
            if self._tool.eof:
                rest = self._tool.unused_data or self._stream.read(CHUNK_BYTES)
                if not rest:
                    return b""
                self._tool, self._waiting = self._new(), rest  # the next of several in a row
            data = self._waiting or self._stream.read(CHUNK_BYTES)
            try:
                found = self._tool.decompress(data, count)
            except (*_DAMAGED, OSError):
                return b""
            self._waiting = getattr(self._tool, "unconsumed_tail", b"")
            if found:
                self._limit.spend(len(found))
                return found
            if not data:
                return b""


def may_be_tar(head: bytes) -> bool:
    """Whether a checksum stands where a tar has its own."""
    return len(head) == BLOCK and _CHECKSUM.fullmatch(head, 148, 156) is not None


def tar_members(stream: Forward) -> Iterator[tuple[str, Forward]]:
    """Names and bytes of a tar's files; none if the stream is no tar. Each is read before the next is asked for.

    Raises:
        NotLookedInto: it is damaged further on.
    """
    declared_size: int | None = None
    first = True
    while len(block := stream.peek(BLOCK)) == BLOCK:
        if not block.strip(b"\0"):
            return
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError:
            if first:
                return
            raise NotLookedInto("is a tar that is damaged") from None
        first = False
        stream.skip(BLOCK)
        if header.type in {tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE}:
            if header.size > PAX_MAX_BYTES:
                raise NotLookedInto("is a tar with a very long header")
            declared_size = _pax_size(stream.read(header.size)) or declared_size
            stream.skip(-header.size % BLOCK)
            continue
        if header.type in {tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK}:
            stream.skip(header.size + -header.size % BLOCK)
            continue
        if header.type == tarfile.GNUTYPE_SPARSE:
            raise NotLookedInto("is a tar with sparse files")
        size, declared_size = declared_size if declared_size is not None else header.size, None
        if not header.isreg() and header.type in tarfile.SUPPORTED_TYPES:
            continue  # folders and links have no bytes
        member = _Part(stream, size)
        yield header.name, Forward(member.more, member.leap)
        member.leap(member.left)
        stream.skip(-size % BLOCK)


class _Part:
    """The next bytes of a stream, as one of its own."""

    def __init__(self, stream: Forward, size: int) -> None:
        self._stream, self.left = stream, size

    def more(self, count: int) -> bytes:
        found = self._stream.read(min(count, self.left))
        self.left -= len(found)
        return found

    def leap(self, count: int) -> None:
        count = min(count, self.left)
        self._stream.skip(count)
        self.left -= count


def _pax_size(records: bytes) -> int | None:
    """The ``size`` that an extended header gives, in the form ``LENGTH KEY=VALUE\\n`` a record."""
    at, size = 0, None
    while (space := records.find(b" ", at)) > 0:
        try:
            end = at + int(records[at:space])
        except ValueError:
            break
        if end <= space:
            break
        key, _, value = records[space + 1 : end].partition(b"=")
        if key == b"size":
            with suppress(ValueError):
                size = int(value)
        at = end
    return size


def zip_members(file: BinaryIO, limit: DecompressionLimit, *, certain: bool) -> Iterator[tuple[str, Forward]]:
    """Names and bytes of a zip's files; none if the file is no zip.

    Args:
        file: seekable.
        limit: of what is compressed.
        certain: it begins like a zip, so that it must be one; else only its end may be that of one.

    Raises:
        NotLookedInto: the list of members or a member can't be read; other readers may be less careful.
    """
    try:
        if _directory_size(file) > DIRECTORY_MAX_BYTES:
            raise NotLookedInto("is a zip with too many members")
        with zipfile.ZipFile(file) as archive:
            for info in archive.infolist():
                if info.is_dir() and not info.file_size:
                    continue
                with closing(archive.open(info)) as member:
                    yield info.filename, Forward(_counted(member, limit, stored=info.compress_type == 0))
    except _DAMAGED as error:
        if certain:
            raise _zip_not_read(error) from None


def _zip_not_read(error: Exception) -> NotLookedInto:
    if isinstance(error, zipfile.BadZipFile):
        return NotLookedInto(f"is a damaged or unfinished zip ({error})")
    return NotLookedInto(f"is a zip that can't be read ({error})")


def _counted(member: object, limit: DecompressionLimit, *, stored: bool) -> Callable[[int], bytes]:
    def more(count: int) -> bytes:
        try:
            found: bytes = member.read(count)  # type: ignore[attr-defined]
        except _DAMAGED as error:
            raise _zip_not_read(error) from None
        except OSError as error:
            if error.errno is not None:
                raise
            raise _zip_not_read(error) from None  # of bz2
        if not stored:
            limit.spend(len(found))
        return found

    return more


def _directory_size(file: BinaryIO) -> int:
    """Bytes of a zip's list of members, as its end tells."""
    end = file.seek(0, io.SEEK_END)
    start = max(0, end - _TAIL_BYTES - 20 - 56)
    file.seek(start)
    tail = file.read(end - start)
    at = tail.rfind(b"PK\x05\x06")
    size = int.from_bytes(tail[at + 12 : at + 16], "little") if at >= 0 else 0
    large = tail.rfind(b"PK\x06\x06", 0, max(at, 0))
    if size == 0xFFFFFFFF and large >= 0:
        return int.from_bytes(tail[large + 40 : large + 48], "little")
    return size


def spooled(stream: Forward) -> BinaryIO:
    """A copy that can be read anywhere, in memory while it is small.

    Raises:
        NotLookedInto: it is too large to be copied.
    """
    copy = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115  # the caller closes it
    while chunk := stream.read(CHUNK_BYTES):
        copy.write(chunk)
        if copy.tell() > NESTED_MAX_BYTES:
            copy.close()
            raise NotLookedInto("holds an archive too large to be looked into")
    copy.seek(0)
    return copy  # type: ignore[return-value]
