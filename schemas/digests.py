"""Digests as text: ``sha256:<64 lower-case hex digits>``."""

import hashlib
import re
from collections.abc import Callable
from typing import Protocol

from modelcast.schemas.errors import ContentError

PIECE_BYTES = 1024 * 1024
DIGEST_PATTERN = re.compile(r"sha256:[0-9a-f]{64}")


def sha256_of(data: bytes | bytearray | memoryview) -> str:
    """The digest of ``data``."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Readable(Protocol):
    """What bytes are read from."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Fill (part of) the buffer; 0 at the end."""
        ...


def sha256_of_stream(
    stream: Readable, size_bytes: int, take: Callable[[memoryview], object] = lambda piece: None
) -> str | None:
    """The digest of the next ``size_bytes`` of a stream, which is read in pieces; None if it ends before.

    Args:
        stream: is left where those bytes end.
        size_bytes: how many.
        take: is given each piece, which lasts until the next is read.
    """
    hashed, left = hashlib.sha256(), size_bytes
    buffer = memoryview(bytearray(min(max(size_bytes, 1), PIECE_BYTES)))
    while left > 0:
        count = stream.readinto(buffer[: min(left, len(buffer))])
        if not count:
            return None
        hashed.update(buffer[:count])
        take(buffer[:count])
        left -= count
    return "sha256:" + hashed.hexdigest()


def hex_of(digest: str) -> str:
    """The hex digits of a digest.

    Raises:
        ContentError: ``digest`` is not a SHA-256 digest.
    """
    if not DIGEST_PATTERN.fullmatch(digest):
        raise ContentError(f"bad digest {digest[:80]!r}", hint="digests read sha256:<64 hex digits>")
    return digest[7:]


def short(digest: str) -> str:
    """The first twelve hex digits, for people."""
    return digest.removeprefix("sha256:")[:12]
