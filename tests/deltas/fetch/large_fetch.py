"""A fetch as a region does it, in a process of its own, for test_large_for_real.py: prints JSON of what it cost.

Arguments: cache folder, origin url, region url, endpoint, file that says how many bytes of blobs were read, at how many
it stands still (0: never), manifest digests of versions 1 … n, of which the last one is fetched.
"""

import json
import os
import struct
import sys
import threading
from pathlib import Path

from modelcast.consumers.fetch import ArtifactCache, BaseCandidates, Fetcher, Link
from modelcast.deltas.fetch.accelerator import DeltaFetchAccelerator
from modelcast.infra.stores import S3Store, open_store
from tests.consumers.fetch.publishing import Wrapped


class Counted(Wrapped):
    """Writes how much was read where a kill can't take it away, and reads no more once it is ``still_at`` bytes."""

    def __init__(self, store: S3Store, counter: Path, still_at: int) -> None:
        super().__init__(store)
        self._counter = os.open(counter, os.O_CREAT | os.O_WRONLY)
        self._still_at = still_at

    def on_read(self, count: int) -> None:
        super().on_read(count)
        with self.lock:
            os.pwrite(self._counter, struct.pack("<Q", self.blob_bytes_read), 0)
        if 0 < self._still_at <= self.blob_bytes_read:
            threading.Event().wait()

    def warm(self, connections: int) -> None:
        assert isinstance(self.store, S3Store)
        self.store.warm(connections)


def main(cache: str, origin: str, region: str, endpoint: str, counter: str, still_at: str, *digests: str) -> None:
    counted = Counted(open_store(origin, endpoint_url=endpoint), Path(counter), int(still_at))
    fetcher = Fetcher(
        counted,
        open_store(region, endpoint_url=endpoint),
        ArtifactCache(Path(cache)),
        Link(),
        accelerator=DeltaFetchAccelerator(),
    )
    report = fetcher.fetch(digests[-1], candidates=BaseCandidates(len(digests), (), dict(enumerate(digests, 1))))
    said = {
        "bytes_moved": report.bytes_moved,
        "bytes_saved": report.bytes_saved,
        "kind": report.kind,
        "stages": {name: round(seconds, 1) for name, seconds in report.stage_seconds.items()},
    }
    sys.stdout.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
