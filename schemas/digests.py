"""Digests as text: ``sha256:<64 lower-case hex digits>``."""

import hashlib
import re

from modelcast.schemas.errors import ContentError

DIGEST_PATTERN = re.compile(r"sha256:[0-9a-f]{64}")


def sha256_of(data: bytes | bytearray | memoryview) -> str:
    """The digest of ``data``."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


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
