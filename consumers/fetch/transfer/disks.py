"""Whether large files are better written past the page cache: that depends on the disk, which is measured.

It saves the copy into the cache, but the disk has to read what it wrote, for the next reader. What counts is the
time and the work from the first byte until the file was read once more: docs/adr/0006 has the figures.
"""

import errno
import mmap
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import structlog

from modelcast.infra.ablation import DIRECT_WRITES, without
from modelcast.schemas.manifest import BLOCK_SIZE_BYTES

THERE_AND_BACK_MIN_BYTES_PER_SECOND = 400e6
"""Bytes that are written and read again in a second, one after the other, from which on it pays.

More than any SATA device can do (2 x 550 MB/s), mechanical ones above all, where the two are in each other's way.
"""
TRIAL_BLOCKS = 8
"""Less than what the cache leaves free of a disk when it reserves room."""
TRIAL_SECONDS_MAX = 0.25
TRIAL_FREE_MIN_BYTES = 2 * TRIAL_BLOCKS * BLOCK_SIZE_BYTES
FULL = {errno.ENOSPC, errno.EDQUOT}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DiskRates:
    """What a disk does past the page cache, in bytes per second."""

    write_bytes_per_second: float
    read_bytes_per_second: float

    @property
    def there_and_back_bytes_per_second(self) -> float:
        """Of bytes that are written first and read then."""
        return 1 / (1 / self.write_bytes_per_second + 1 / self.read_bytes_per_second)


def direct_pays(rates: DiskRates) -> bool:
    """Whether a large file is better written past the page cache of such a disk."""
    return rates.there_and_back_bytes_per_second >= THERE_AND_BACK_MIN_BYTES_PER_SECOND


def measured(folder: Path, clock: Callable[[], float] = time.perf_counter) -> DiskRates:
    """Write some blocks past the page cache and read them back, in a file that has no name and leaves nothing.

    The fastest block counts: that others had to wait says something of this moment, not of the disk. On a slow disk
    fewer are tried.

    Raises:
        OSError: the file system refuses that, the disk is full, or nearly so, or broken.
    """
    there = os.statvfs(folder)
    if there.f_bavail * there.f_frsize < TRIAL_FREE_MIN_BYTES:
        raise OSError(errno.ENOSPC, "too little room to measure")
    block = memoryview(mmap.mmap(-1, BLOCK_SIZE_BYTES))
    block[:] = os.urandom(BLOCK_SIZE_BYTES)  # a disk that compresses shall not shine
    fd = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC | os.O_DIRECT, 0o600)
    try:
        os.posix_fallocate(fd, 0, TRIAL_BLOCKS * BLOCK_SIZE_BYTES)
        ends_at = clock() + TRIAL_SECONDS_MAX
        wrote = _seconds_a_block(lambda at: os.pwrite(fd, block, at), TRIAL_BLOCKS, ends_at, clock)
        read = _seconds_a_block(lambda at: os.preadv(fd, [block], at), len(wrote), ends_at, clock)
    finally:
        os.close(fd)
    return DiskRates(BLOCK_SIZE_BYTES / min(wrote), BLOCK_SIZE_BYTES / min(read))


def _seconds_a_block(
    move: Callable[[int], int], blocks: int, ends_at: float, clock: Callable[[], float]
) -> list[float]:
    seconds: list[float] = []
    for number in range(blocks):
        began = clock()
        if seconds and began > ends_at:
            break
        if move(number * BLOCK_SIZE_BYTES) != BLOCK_SIZE_BYTES:
            raise OSError(errno.EIO, "a block was moved in part")
        seconds.append(max(clock() - began, 1e-9))
    return seconds


class Disks:
    """What was found out about the disks that this process writes to. Thread-safe: each disk is measured once.

    Args:
        measure: gives the rates of the disk of a folder, or raises ``OSError``.
    """

    def __init__(self, measure: Callable[[Path], DiskRates] = measured) -> None:
        self._measure = measure
        self._direct: dict[int, bool] = {}
        self._lock = threading.Lock()

    def writes_direct(self, folder: Path) -> bool:
        """Whether large files in ``folder`` are to be written past the page cache; what can't be measured is not."""
        if without(DIRECT_WRITES):
            return False
        try:
            device = folder.stat().st_dev
        except OSError:
            return False
        with self._lock:
            if device not in self._direct:
                return self._decided(folder, device)
            return self._direct[device]

    def _decided(self, folder: Path, device: int) -> bool:
        disk = f"{os.major(device)}:{os.minor(device)}"
        try:
            rates = self._measure(folder)
        except OSError as error:
            if error.errno in FULL:  # asked again: it may be empty tomorrow
                return False
            self._direct[device] = False
            log.info("files are written through the page cache: the disk can't be measured", disk=disk, error=error)
            return False
        self._direct[device] = direct_pays(rates)
        log.info(
            "the disk was measured",
            disk=disk,
            write_bytes_per_second=round(rates.write_bytes_per_second),
            read_bytes_per_second=round(rates.read_bytes_per_second),
            direct_writes=self._direct[device],
        )
        return self._direct[device]


def as_set(direct_writes: Literal["auto"] | bool) -> Disks | bool:
    """What a region's setting means for one process."""
    return Disks() if direct_writes == "auto" else direct_writes
