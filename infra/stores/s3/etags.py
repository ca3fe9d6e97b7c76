"""What an S3 ETag tells of the bytes behind it, where the store computes it as AWS does without encryption."""

import hashlib
import re
from pathlib import Path

from modelcast.infra.stores.s3.parts import PART_SIZES_BEFORE, part_size_of

_ETAG = re.compile(r'"?([0-9a-f]{32})(?:-([0-9]{1,5}))?"?')


def etag_fits(etag: str, path: Path, size_bytes: int) -> bool:
    """Whether ``etag`` is what a store gives the file at ``path``: sent whole, or in parts of the sizes used here.

    False proves nothing: other parts, or a store that computes ETags in another way, look just like other bytes.
    """
    match = _ETAG.fullmatch(etag)
    if match is None:
        return False
    wanted, count = match[1], int(match[2] or 0)
    if not count:
        return _md5s(path, max(size_bytes, 1))[0].hex() == wanted
    for part_size in (part_size_of(size_bytes), *PART_SIZES_BEFORE):
        if -(-size_bytes // part_size) == count:
            joined = b"".join(_md5s(path, part_size))
            if hashlib.md5(joined, usedforsecurity=False).hexdigest() == wanted:
                return True
    return False


def _md5s(path: Path, part_size: int) -> list[bytes]:
    """The MD5 of each part; one of nothing for an empty file."""
    found: list[bytes] = []
    with path.open("rb") as file:
        while True:
            hashed, left = hashlib.md5(usedforsecurity=False), part_size
            while left and (chunk := file.read(min(left, 1 << 20))):
                hashed.update(chunk)
                left -= len(chunk)
            if left < part_size or not found:
                found.append(hashed.digest())
            if left:
                return found
