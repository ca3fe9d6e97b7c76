"""Files as the delta sees them: mapped to read, written aside and renamed into place."""

import mmap
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from modelcast.schemas.errors import NotFound


@contextmanager
def mapped(path: Path) -> Iterator[memoryview]:
    """The bytes of a file, read only. Nothing may shorten it meanwhile.

    Raises:
        NotFound: there is no such file.
    """
    try:
        file = path.open("rb")
    except (FileNotFoundError, IsADirectoryError) as error:
        told = "no such file" if isinstance(error, FileNotFoundError) else "this is a folder, not a file"
        raise NotFound(told, subject=str(path)) from None
    with file:
        if not os.fstat(file.fileno()).st_size:  # an empty file can't be mapped
            yield memoryview(b"")
            return
        # Not closed by hand: an error's traceback may still hold views of it. It is unmapped with the last of them.
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    yield memoryview(data)


@contextmanager
def written_aside(path: Path) -> Iterator[BinaryIO]:
    """A temporary file beside ``path`` that takes its place when the block ends well, synced; else it is gone.

    Raises:
        OSError: it can't be written; named is ``path``, whatever the temporary file is called.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:200]}.", suffix=".partial", dir=path.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    aside = Path(name)
    try:
        with os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        aside.chmod(0o666 & ~_umask())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_at(handle: int, data: memoryview, at: int) -> None:
    """``pwrite`` all of it."""
    while data:
        written = os.pwrite(handle, data, at)
        data, at = data[written:], at + written


def _umask() -> int:
    """The process's mask, read without changing it where the system shows it."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    except OSError:
        pass
    return 0o022
