"""Files as the delta sees them."""

import mmap
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from modelcast.schemas.errors import NotFound, UsageError

_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def odd_kind(path: Path) -> str:
    """What a path leads to that is neither a file nor a folder, as in "a pipe"; else "".

    Raises:
        OSError: nothing is there, or it can't be looked at.
    """
    mode = path.stat().st_mode
    return next((kind for is_kind, kind in _KINDS if is_kind(mode)), "")


def check_readable(path: Path) -> None:
    """A pipe would be waited for, a device read for ever; the null device passes: it is everybody's empty file.

    Raises:
        NotFound: nothing is there.
        UsageError: it is neither a file nor a folder.
    """
    try:
        kind = odd_kind(path)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound("no such file or folder", subject=str(path), hint="check its path") from None
    if kind and not path.samefile(os.devnull):
        raise UsageError(f"this is {kind}, not a file", subject=str(path), hint="write what it gives into a file first")


def check_writable(path: Path) -> None:
    """What is written takes the place of what is there, and that may only be a file.

    Raises:
        UsageError: it is a folder, a pipe, a socket, a device, or a link (/dev/stdout is one: it would be replaced).
    """
    if path.is_symlink():
        raise UsageError("the file to write is a link", subject=str(path), hint="name a file instead")
    if path.is_dir():
        raise UsageError("the file to write is a folder", subject=str(path), hint="name a file in it")
    if path.exists() and (kind := odd_kind(path)):
        raise UsageError(f"the file to write is {kind}", subject=str(path), hint="name a file instead")


@contextmanager
def opened(path: Path) -> Iterator[FileIO]:
    """A file to read.

    Raises:
        NotFound: there is no such file.
        UsageError: it is a pipe, a socket or a device.
    """
    if path.is_dir():
        raise NotFound("this is a folder, not a file", subject=str(path), hint="name a file")
    check_readable(path)
    with path.open("rb", buffering=0) as file:
        yield file


@contextmanager
def mapped(path: Path) -> Iterator[memoryview]:
    """The bytes of a file, read only. Nothing may shorten it meanwhile. Raises as ``opened``."""
    with opened(path) as file:
        if not os.fstat(file.fileno()).st_size:  # an empty file can't be mapped
            yield memoryview(b"")
            return
        # Not closed by hand: an error's traceback may still hold views of it. It is unmapped with the last of them.
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    yield memoryview(data)


def is_executable(path: Path) -> bool:
    """Whether its owner may run it."""
    return bool(path.stat().st_mode & stat.S_IXUSR)


def make_executable(path: Path) -> None:
    """Every user that may read it may run it; no other right changes."""
    mode = stat.S_IMODE(path.stat().st_mode)
    path.chmod(mode | (mode & 0o444) >> 2)


def write_at(handle: int, data: memoryview, at: int) -> None:
    """``pwrite`` all of it."""
    while data:
        written = os.pwrite(handle, data, at)
        data, at = data[written:], at + written
