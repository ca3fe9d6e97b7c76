"""Bringing an object whose bytes nobody can check in advance (a delta), resumed after an interruption.

Beside the file lies ``<file>.parts``: the object's etag, then the number of each whole MiB that is written. It is
dropped when the object is whole. Should it be wrong, what comes of the object fails the manifest's digest.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path

from modelcast.consumers.fetch.plan import PART_BLOCKS, Way
from modelcast.consumers.fetch.reading import ObjectReplaced, Reading
from modelcast.consumers.fetch.spans import Span
from modelcast.consumers.fetch.target import Target
from modelcast.schemas.errors import StoreUnavailable
from modelcast.schemas.manifest import BLOCK_SIZE_BYTES

REPLACED_MAX = 3


def bring_object(reading: Reading, key: str, path: Path, size_bytes: int, *, way: Way, readers: int) -> None:
    """Have the object at ``key`` in ``path``.

    Raises:
        BlobMissing: it is not in the store.
        DamagedBytes: it has another size.
        StoreUnavailable: the store did not answer, or the object is replaced again and again.
        FetchTooSlow, FetchCancelled: as they say.
        OSError: the disk.
    """
    journal = _Journal(path.with_name(path.name + ".parts"), path)
    if journal.is_whole(size_bytes):
        return
    for _ in range(REPLACED_MAX):
        try:
            _bring(reading, journal, key, size_bytes, way, readers)
        except ObjectReplaced:
            journal.forget()
        else:
            return
    raise StoreUnavailable("the object is replaced again and again", subject=f"{reading.store_name(way)}/{key}")


def _bring(reading: Reading, journal: "_Journal", key: str, size_bytes: int, way: Way, readers: int) -> None:
    done = journal.open(size_bytes)
    if done and journal.etag:
        reading.expect(way, key, journal.etag)
    stop = threading.Event()
    is_over = reading.end_of(size_bytes, stop)

    def came(span: Span, count: int) -> None:
        journal.note(reading.etag(way, key), span.position - count, span.position, span.start, size_bytes)

    spans = [Span(key, key, size_bytes, *run, steady=True) for run in _runs(done, size_bytes)]
    try:
        with Target(journal.path) as target:
            _at_once(lambda span: reading.bring(span, way, target, is_over, came), spans, readers, stop)
    finally:
        journal.close()
    journal.finish()


def _at_once(bring: Callable[[Span], None], spans: list[Span], readers: int, stop: threading.Event) -> None:
    if len(spans) == 1:
        bring(spans[0])
    elif spans:
        with ThreadPoolExecutor(min(readers, len(spans)), "object") as pool:
            futures = [pool.submit(bring, span) for span in spans]
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            failed = [error for future in done if (error := future.exception())]
            if failed:
                stop.set()
                for future in futures:
                    future.cancel()
                raise failed[0]


def _runs(done: set[int], size_bytes: int) -> list[tuple[int, int]]:
    """(start, count) of what is missing, in runs of at most ``PART_BLOCKS`` blocks."""
    runs: list[tuple[int, int]] = []
    for block in range(-(-size_bytes // BLOCK_SIZE_BYTES)):
        if block in done:
            continue
        start = block * BLOCK_SIZE_BYTES
        count = min(BLOCK_SIZE_BYTES, size_bytes - start)
        if runs and sum(runs[-1]) == start and runs[-1][1] < PART_BLOCKS * BLOCK_SIZE_BYTES:
            runs[-1] = (runs[-1][0], runs[-1][1] + count)
        else:
            runs.append((start, count))
    return runs


class _Journal:
    """What is written of an object."""

    def __init__(self, place: Path, path: Path) -> None:
        self.path = path
        self.etag = ""
        self._place = place
        self._fd: int | None = None
        self._headed = False
        self._lock = threading.Lock()

    def is_whole(self, size_bytes: int) -> bool:
        """It came before, and was not used yet."""
        return self.path.exists() and not self._place.exists() and self.path.stat().st_size == size_bytes

    def open(self, size_bytes: int) -> set[int]:
        """Make the file, if it is not there; the blocks that are written."""
        done: set[int] = set()
        with suppress(OSError, ValueError):
            head, *lines = self._place.read_text().split("\n")
            if self.path.stat().st_size == size_bytes and head:
                self.etag, done = head, {int(line) for line in lines[:-1]}
        self._headed = bool(done)
        self._fd = os.open(self._place, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        if not done:
            os.ftruncate(self._fd, 0)
            fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            try:
                if size_bytes:
                    os.posix_fallocate(fd, 0, size_bytes)
            finally:
                os.close(fd)
        return done

    def note(self, etag: str, before: int, position: int, start: int, size_bytes: int) -> None:
        """Write down the blocks that became whole between two positions of a span that began at ``start``."""
        first = max(before, start) // BLOCK_SIZE_BYTES
        last = position // BLOCK_SIZE_BYTES if position < size_bytes else -(-size_bytes // BLOCK_SIZE_BYTES)
        if first == last or self._fd is None:
            return
        with self._lock:
            if not self._headed:
                os.write(self._fd, f"{etag}\n".encode())
                self._headed = True
            os.write(self._fd, b"".join(b"%d\n" % block for block in range(first, last)))

    def close(self) -> None:
        """The file stays."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def finish(self) -> None:
        """The object is whole."""
        self._place.unlink(missing_ok=True)

    def forget(self) -> None:
        """Nothing of it is worth anything."""
        self._place.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)
        self.etag = ""
