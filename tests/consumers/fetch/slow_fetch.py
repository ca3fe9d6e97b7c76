"""A fetch in a process of its own, slow enough to be killed inside, for test_kill.py.

Arguments: cache folder, manifest digest, origin url, region url or "-", endpoint, file that counts the bytes read, a
pause in seconds after every packet, digest of the manifest of the version before or "-".
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from modelcast.consumers.fetch import ArtifactCache, Fetcher, FetchReport
from modelcast.infra.stores import S3Store, open_store
from modelcast.schemas.ports import ByteStream, ObjectStore
from tests.consumers.fetch.publishing import Wrapped

PACKET_BYTES = 16 * 1024
"""What is read at once is lost to a kill: no more than a long link brings at once."""


class Slow(Wrapped):
    """Counts what it read where a kill can't take it away."""

    def __init__(self, store: S3Store, counter: Path, pause_seconds: float) -> None:
        super().__init__(store)
        self._counter = os.open(counter, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        self._pause_seconds = pause_seconds

    @contextmanager
    def open(
        self, key: str, *, start: int = 0, length: int | None = None, etag: str | None = None
    ) -> Iterator[ByteStream]:
        with super().open(key, start=start, length=length, etag=etag) as stream:
            yield _InPackets(stream, self._pause_seconds)

    def on_read(self, count: int) -> None:
        os.write(self._counter, b"%d\n" % count)


class _InPackets:
    def __init__(self, stream: ByteStream, pause_seconds: float) -> None:
        self.info, self._stream, self._pause_seconds = stream.info, stream, pause_seconds

    def readinto(self, buffer: memoryview) -> int:
        time.sleep(self._pause_seconds)
        return self._stream.readinto(buffer[:PACKET_BYTES])


def main(fetch: Callable[[ObjectStore, ObjectStore | None, ArtifactCache, str, str], FetchReport]) -> None:
    """Fetch with it what the arguments name, and print what moved.

    Args:
        fetch: takes the origin, the region's bucket, the cache, and the digests of the manifest and of the one before.
    """
    cache, digest, origin, region, endpoint, counter, pause_seconds, before = sys.argv[1:]
    slow = Slow(open_store(origin, endpoint_url=endpoint), Path(counter), float(pause_seconds))
    regional = None if region == "-" else open_store(region, endpoint_url=endpoint)
    print("started", flush=True)
    report = fetch(slow, regional, ArtifactCache(Path(cache)), digest, before)
    print(report.kind, report.bytes_saved, report.bytes_moved, flush=True)


def whole(
    origin: ObjectStore, region: ObjectStore | None, cache: ArtifactCache, digest: str, before: str
) -> FetchReport:
    """A fetch that uses nothing of the version before."""
    return Fetcher(origin, region, cache).fetch(digest)


if __name__ == "__main__":
    main(whole)
