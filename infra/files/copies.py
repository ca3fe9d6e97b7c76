"""Copies of files, by reference where the file system can: both share their blocks until one of them is written."""

import errno
import fcntl
import shutil
from pathlib import Path
from typing import BinaryIO

_FICLONE = 0x40049409  # ioctl of Linux
_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EIO}


def copy(source: Path, target: Path) -> None:
    """Make ``target`` a file with the bytes of ``source``; what is there already is written over.

    Raises:
        OSError: one can't be read, or the other not written.
    """
    with source.open("rb") as reader, target.open("wb") as writer:
        if not share_blocks(reader, writer):
            shutil.copyfileobj(reader, writer, 1 << 20)


def share_blocks(reader: BinaryIO, writer: BinaryIO) -> bool:
    """Make ``writer``, which is empty, a reference to all that ``reader`` holds; False: it has to be copied.

    Raises:
        OSError: a copy would meet the same: the disk is full or broken.
    """
    try:
        fcntl.ioctl(writer.fileno(), _FICLONE, reader.fileno())
    except OSError as error:
        if error.errno in _OF_THE_DISK:
            raise
        return False
    return True
