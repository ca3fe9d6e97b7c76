"""Files on this machine: their digests, and writing them so that a reader finds all of one or nothing."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def sha256_of_file(path: Path) -> str:
    """The digest of a file's bytes, read in pieces.

    Raises:
        OSError: it can't be read.
    """
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def written_aside(path: Path, *, mode: int | None = None, durable: bool = True) -> Iterator[BinaryIO]:
    """A temporary file beside ``path`` that takes its place when the block ends well; else it is gone.

    Args:
        path: what appears, whole.
        mode: its rights; None: as the process's mask leaves them.
        durable: bytes and name are on the disk before this returns.

    Raises:
        OSError: it can't be written; named is ``path``, whatever the temporary file is called.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", suffix=".partial", dir=path.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    aside = Path(name)
    try:
        with os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        aside.chmod(0o666 & ~_umask() if mode is None else mode)
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Have the names in a folder on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    """The process's mask, read without changing it where the system shows it."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    except OSError:
        pass
    return 0o022
