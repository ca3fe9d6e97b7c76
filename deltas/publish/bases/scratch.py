"""Temporary folders on the disk of the bases. Those of publishers that were killed go when the next one starts."""

import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from modelcast.infra.files import NoLocks, acquire, held_if_free

AGE_SECONDS_MAX = 24 * 3600.0
"""Of a folder whose owner can't be asked: on another machine, or where the file system locks nothing."""
TRIES = 5


class Scratch:
    """Temporary folders in one that publishers share, perhaps those of several machines. Thread-safe.

    Each is locked while it is in use, and the kernel unlocks what a killed process held: unlike its number, a lock
    is never another's. Only locks of this very run of the kernel are believed; it stands in the folder's name.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mine = f"{_boot()}-"

    @contextmanager
    def new(self) -> Iterator[Path]:
        """A folder that is gone afterwards; on another disk if this one can't be written."""
        lock: int | None = None
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            made, lock = self._locked()
        except OSError:
            made = Path(tempfile.mkdtemp(prefix="modelcast-delta-"))
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)
            if lock is not None:
                os.close(lock)

    def sweep(self) -> None:
        """Remove what killed publishers left. Never raises: what can't be removed stays."""
        with suppress(OSError):
            for left in list(self._folder.iterdir()):
                with suppress(NoLocks, OSError):
                    if left.name.startswith(self._mine):
                        with held_if_free(left, folder=True) as unused:
                            if unused:
                                shutil.rmtree(left, ignore_errors=True)
                    elif time.time() - left.stat().st_mtime > AGE_SECONDS_MAX:
                        shutil.rmtree(left, ignore_errors=True)

    def _locked(self) -> tuple[Path, int | None]:
        for _ in range(TRIES):
            made = Path(tempfile.mkdtemp(prefix=self._mine, dir=self._folder))
            try:
                return made, acquire(made, folder=True)
            except FileNotFoundError:  # swept before it was locked
                continue
            except (NoLocks, OSError):
                made.rmdir()
                break
        return Path(tempfile.mkdtemp(prefix="unlocked-", dir=self._folder)), None


def _boot() -> str:
    """Names this run of the kernel; locks of one are seen by all its processes, also in containers."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return platform.node() or "unknown"
