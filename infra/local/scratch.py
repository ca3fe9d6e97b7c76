"""Folders for stacks that end with their process; what a killed one left goes when the next is made."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelcast.infra.local.jars import cache_dir

LOCK = "in-use"


@contextmanager
def scratch_dir() -> Iterator[Path]:
    """An empty folder in the cache, removed at the end."""
    runs = cache_dir() / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    with (runs / ".lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        for left in runs.iterdir():
            if left.is_dir() and not _in_use(left):
                shutil.rmtree(left, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(dir=runs))
        held = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(held, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        os.close(held)
        shutil.rmtree(folder, ignore_errors=True)


def _in_use(folder: Path) -> bool:
    try:
        fd = os.open(folder / LOCK, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
