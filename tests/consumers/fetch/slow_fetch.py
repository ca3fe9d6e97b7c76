"""A fetch in a process of its own, slow enough to be killed inside, for test_kill.py.

Arguments: cache folder, manifest digest, origin url, region url or "-", endpoint, file that counts the bytes read, a
pause in seconds after every packet, digest of the manifest of the version before or "-".
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelcast.consumers.fetch import ArtifactCache, BaseCandidates, Fetcher
from modelcast.infra.stores import S3Store, open_store
from modelcast.schemas.ports import ByteStream
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


def main() -> None:
    cache, digest, origin, region, endpoint, counter, pause_seconds, before = sys.argv[1:]
    slow = Slow(open_store(origin, endpoint_url=endpoint), Path(counter), float(pause_seconds))
    regional = None if region == "-" else open_store(region, endpoint_url=endpoint)
    print("started", flush=True)
    here = ArtifactCache(Path(cache))
    if before == "-":
        report = Fetcher(slow, regional, here).fetch(digest)
    else:
        from tests.deltas.fetch.offering import by_delta

        family = BaseCandidates(2, (), {1: before, 2: digest})
        report = by_delta(slow, regional, here).fetch(digest, candidates=family)
    print(report.kind, report.bytes_saved, report.bytes_moved, flush=True)


main()
