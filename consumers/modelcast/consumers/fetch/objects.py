"""Bringing an object whose bytes nobody can check in advance (a delta), resumed after an interruption.

Beside the file lies ``<file>.parts``: the object's etag, then the number of each whole MiB that is written. It is
dropped when the object is whole. Should it be wrong, what comes of the object fails the manifest's digest.
"""

import os
import threading
from contextlib import suppress
from pathlib import Path

from modelcast.consumers.fetch.growth import Growth
from modelcast.consumers.fetch.plan import Way, runs
from modelcast.consumers.fetch.readers import at_once
from modelcast.consumers.fetch.reading import ObjectReplaced, Reading
from modelcast.consumers.fetch.spans import Span
from modelcast.consumers.fetch.target import Target
from modelcast.schemas.errors import StoreUnavailable
from modelcast.schemas.manifest import BLOCK_SIZE_BYTES

REPLACED_MAX = 3


def bring_object(reading: Reading, key: str, path: Path, growth: Growth, *, way: Way, readers: int, most: int) -> None:
    """Have the object at ``key`` in ``path``.

    Args:
        growth: told what of it is there; given up when what came is worth nothing. It is ended once nobody waits.
        most: blocks that are asked for at once.

    Raises:
        BlobMissing: it is not in the store.
        DamagedBytes: it has another size.
        StoreUnavailable: the store did not answer, or the object is replaced again and again.
        FetchTooSlow, FetchCancelled: as they say.
        OSError: the disk.
    """
    journal = _Journal(path.with_name(path.name + ".parts"), path)
    if journal.is_whole(growth.size_bytes):
        growth.begin(growth.blocks)
        return
    for _ in range(REPLACED_MAX):
        try:
            _bring(reading, journal, key, growth, way, readers, most)
        except ObjectReplaced:
            growth.give_up()
            journal.forget()
        else:
            return
    raise StoreUnavailable("the object is replaced again and again", subject=f"{reading.store_name(way)}/{key}")


def here_bytes(path: Path, size_bytes: int) -> int:
    """What is there, for good, of an object of this size that an earlier call was bringing to ``path``."""
    journal = _Journal(path.with_name(path.name + ".parts"), path)
    if journal.is_whole(size_bytes):
        return size_bytes
    spans = (_span("", size_bytes, block, 1) for block in journal.done(size_bytes))
    return sum(span.left_bytes for span in spans)


def _bring(reading: Reading, journal: "_Journal", key: str, growth: Growth, way: Way, readers: int, most: int) -> None:
    size_bytes = growth.size_bytes
    done = journal.open(size_bytes)
    growth.begin(done)
    if done and journal.etag:
        reading.expect(way, key, journal.etag)
    stop = threading.Event()
    ended = reading.end_of(size_bytes, stop)

    def is_over() -> bool:
        return ended() or growth.is_left

    def came(span: Span, count: int) -> None:
        blocks = _whole_within(span, count)
        if blocks:
            journal.note(reading.etag(way, key), blocks)
            for block in blocks:
                growth.came(block)

    spans = [_span(key, size_bytes, first, count) for first, count in runs(growth.blocks - done, most=most)]
    try:
        with Target(journal.path) as target:
            at_once(lambda span: reading.bring(span, way, target, is_over, came), spans, readers, stop)
    finally:
        journal.close()
    journal.finish()


def _whole_within(span: Span, count: int) -> range:
    """The blocks that became whole with the last ``count`` bytes of a span, which starts with a block."""
    first = (span.position - count) // BLOCK_SIZE_BYTES
    last = span.position // BLOCK_SIZE_BYTES
    return range(first, last if span.position < span.size_bytes else -(-span.size_bytes // BLOCK_SIZE_BYTES))


def _span(key: str, size_bytes: int, first: int, count: int) -> Span:
    start = first * BLOCK_SIZE_BYTES
    return Span(key, key, size_bytes, start, min(count * BLOCK_SIZE_BYTES, size_bytes - start), steady=True)


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

    def done(self, size_bytes: int) -> set[int]:
        """The blocks that are written."""
        with suppress(OSError, ValueError):
            head, *lines = self._place.read_text().split("\n")
            if self.path.stat().st_size == size_bytes and head:
                done = {int(line) for line in lines[:-1]}
                self.etag = head
                return done
        return set()

    def open(self, size_bytes: int) -> set[int]:
        """Make the file, if it is not there; the blocks that are written."""
        done = self.done(size_bytes)
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

    def note(self, etag: str, blocks: range) -> None:
        """Write down blocks that became whole."""
        if self._fd is None:
            return
        with self._lock:
            if not self._headed:
                os.write(self._fd, f"{etag}\n".encode())
                self._headed = True
            os.write(self._fd, b"".join(b"%d\n" % block for block in blocks))

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
        self.path.unlink(missing_ok=True)
        self._place.unlink(missing_ok=True)  # last: without it, the file would pass for a whole one
        self.etag = ""
