"""Files on this machine: their digests, and writing them so that a reader finds all of one or nothing."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def sha256_of_file(path: Path) -> str:
    """The digest of a file's bytes, read in pieces.

    Raises:
        OSError: it can't be read.
    """
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def replacing(path: Path, *, aside: Path | None = None, durable: bool = False) -> Iterator[Path]:
    """A path to write to; what was written takes the place of ``path`` if the block ends well, else it is removed.

    Args:
        path: what appears, whole.
        aside: where it is written; None: beside ``path``, under a name that begins with a dot. The same file system.
        durable: it is on the disk, and its name too, before this returns.
    """
    written = aside or path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        yield written
        if durable:
            sync(written)
        written.replace(path)
    except BaseException:
        with suppress(OSError):
            written.unlink(missing_ok=True)
        raise
    if durable:
        sync(path.parent)


def sync(path: Path) -> None:
    """Have a file's bytes, or a folder's names, on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
