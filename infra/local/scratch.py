"""Folders for stacks that end with their process; what a killed one left goes when the next is made."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from modelcast.infra.files import NoLocks, acquire, held, held_if_free
from modelcast.infra.local.servers.jars import cache_dir

LOCK = "in-use"


@contextmanager
def scratch_dir() -> Iterator[Path]:
    """An empty folder in the cache, removed at the end."""
    runs = cache_dir() / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    with held(runs / ".lock"):
        for left in runs.iterdir():
            if left.is_dir() and not _in_use(left):
                shutil.rmtree(left, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(dir=runs))
        in_use = acquire(folder / LOCK)
    try:
        yield folder
    finally:
        if in_use is not None:
            os.close(in_use)
        shutil.rmtree(folder, ignore_errors=True)


def _in_use(folder: Path) -> bool:
    with suppress(NoLocks, OSError), held_if_free(folder / LOCK) as free:
        return not free
    return False
