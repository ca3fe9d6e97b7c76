"""Files on this machine: their digests, and writing them so that a reader finds all of one or nothing."""

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from modelcast.infra.files.read_ahead import pieces
from modelcast.infra.files.syncing import sync

AHEAD_FROM_BYTES = 8 * 1024 * 1024
"""From here on a thread that reads ahead is worth its start."""
NAME_BYTES_MAX = 255
"""Of one name in a folder; what file systems count are bytes, not characters."""
_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.ESTALE}
"""What a disk answers to writing into an open file: such an error names none."""


def sha256_of_file(path: Path) -> str:
    """The digest of a file's bytes, which are read in pieces and, of a large file, ahead.

    Raises:
        OSError: it can't be read.
    """
    with path.open("rb", buffering=0) as file:
        if os.fstat(file.fileno()).st_size < AHEAD_FROM_BYTES:
            return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
        found = hashlib.sha256()
        for piece in pieces(file.fileno()):
            found.update(piece)
        return "sha256:" + found.hexdigest()


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
        handle, name = tempfile.mkstemp(prefix=hidden_name(path.name, ".", 200), suffix=".partial", dir=path.parent)
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
    except BaseException as error:
        aside.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None and error.errno in _OF_THE_DISK:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    if durable:
        sync(path.parent)


def hidden_name(name: str, ending: str, bytes_max: int = NAME_BYTES_MAX) -> str:
    """``.<name><ending>``, with as much of the name as fits; what would be cut is told apart by its digest."""
    whole = f".{name}{ending}"
    if len(os.fsencode(whole)) <= bytes_max:
        return whole
    mark = hashlib.sha256(os.fsencode(name)).hexdigest()[:12]
    kept = os.fsencode(name)[: bytes_max - len(os.fsencode(ending)) - len(mark) - 2]
    return f".{kept.decode(errors='ignore')}~{mark}{ending}"


def _umask() -> int:
    """The process's mask, read without changing it where the system shows it."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    except OSError:
        pass
    return 0o022
