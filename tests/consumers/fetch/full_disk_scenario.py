"""Run by test_cache.py with 40 MiB of disk at /mnt."""

import os
from pathlib import Path

from modelcast.consumers.fetch import ArtifactCache, DiskFull, Fetcher
from modelcast.infra.stores import MemoryStore
from tests.consumers.fetch.publishing import MIB, Wrapped, noise, publish, tree

cache = ArtifactCache(Path("/mnt/cache"))
origin = MemoryStore()
fetcher = Fetcher(origin, None, cache)

small = publish(origin, {"w": noise(8 * MIB, 1)})
fetcher.fetch(small.digest)

large = publish(origin, {"w": noise(50 * MIB, 2)})
try:
    fetcher.fetch(large.digest)
except DiskFull as error:
    assert error.retryable and error.hint
    print("refused")
assert cache.has(small.digest)

other = publish(origin, {"w": noise(18 * MIB, 3)})
fetcher.fetch(other.digest)
assert cache.digests() == [other.digest]
print("evicted")

# Somebody else fills the disk between the look and the write: files are many, so allocation fails half-way.
late = publish(origin, {f"f{i}": noise(1000, i) for i in range(50)})


class Greedy(ArtifactCache):
    def disk_free_bytes(self) -> int:
        free = super().disk_free_bytes()
        fd = os.open("/mnt/hog", os.O_CREAT | os.O_WRONLY)
        left = os.statvfs("/mnt")
        os.posix_fallocate(fd, 0, left.f_bavail * left.f_bsize - 20 * 4096)
        os.close(fd)
        return free


try:
    Fetcher(origin, None, Greedy(Path("/mnt/cache"))).fetch(late.digest)
except DiskFull as error:
    assert "the disk is full" in str(error), error
    print("raced")
Path("/mnt/hog").unlink()
watched = Wrapped(origin)
Fetcher(watched, None, cache).fetch(late.digest, keep={other.digest})
with cache.open(late.digest) as folder, cache.open(other.digest):
    assert len(tree(folder)) == 50
print("sound")
