"""A fetch in a process of its own, slow enough to be killed inside, for test_kill.py.

Arguments: cache folder, manifest digest, origin url, region url or "-", endpoint, file that counts the bytes read.
"""

import os
import sys
import time
from pathlib import Path

from modelcast.consumers.fetch import ArtifactCache, Fetcher
from modelcast.infra.stores import S3Store, open_store
from tests.consumers.fetch.publishing import Wrapped


class Slow(Wrapped):
    """Counts what it read where a kill can't take it away."""

    def __init__(self, store: S3Store, counter: Path, pause_seconds: float) -> None:
        super().__init__(store)
        self._counter = os.open(counter, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        self._pause_seconds = pause_seconds

    def on_read(self, count: int) -> None:
        os.write(self._counter, b"%d\n" % count)
        time.sleep(self._pause_seconds)


def main() -> None:
    cache, digest, origin, region, endpoint, counter, pause_seconds = sys.argv[1:]
    slow = Slow(open_store(origin, endpoint_url=endpoint), Path(counter), float(pause_seconds))
    regional = None if region == "-" else open_store(region, endpoint_url=endpoint)
    print("started", flush=True)
    report = Fetcher(slow, regional, ArtifactCache(Path(cache))).fetch(digest)
    print(report.bytes_moved, flush=True)


main()
