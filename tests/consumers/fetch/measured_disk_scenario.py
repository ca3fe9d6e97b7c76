"""Run by test_disks.py with 40 MiB of disk at /mnt."""

import errno
import os
import sys
from pathlib import Path

import structlog

from modelcast.consumers.fetch import ArtifactCache, Fetcher
from modelcast.consumers.fetch.transfer.disks import DiskRates, Disks, measured
from modelcast.consumers.fetch.transfer.link import Link
from modelcast.infra.stores import MemoryStore
from tests.consumers.fetch.publishing import MIB, noise, publish, tree

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
tried: list[int] = []


def watched(folder: Path) -> DiskRates:
    try:
        rates = measured(folder)
    except OSError as error:
        tried.append(error.errno or 0)
        raise
    tried.append(0)
    return rates


disks = Disks(watched)
origin, cache = MemoryStore(), ArtifactCache(Path("/mnt/cache"))
fetcher = Fetcher(origin, None, cache, Link(direct_writes=disks))

# As much as may be reserved: what is left is less than measuring asks for, or all that it takes.
large = publish(origin, {"w": noise(23 * MIB)})
fetcher.fetch(large.digest)
with cache.open(large.digest) as folder:
    assert tree(folder) == {"w": noise(23 * MIB)}
print("fetched")

hog = Path("/mnt/hog")
left = os.statvfs("/mnt")
with hog.open("wb") as file:
    os.posix_fallocate(file.fileno(), 0, (left.f_bavail - 8) * left.f_frsize)
tried.clear()
anew = Disks(watched)
assert not anew.writes_direct(cache.folder)
assert tried == [errno.ENOSPC]
assert os.statvfs("/mnt").f_bavail == 8
print("left alone")

hog.unlink()
cache.evict(large.digest)
anew.writes_direct(cache.folder)
assert len(tried) == 2
assert tried[1] != errno.ENOSPC
print("asked again")
