"""Bringing an object whose digest is not known in advance (a delta), resumed after an interruption.

Beside the file lies ``<file>.begun`` (``ResumeJournal``, marked with the object's etag) until it is whole. Should it be
wrong, what comes of the object fails the manifest's digest.
"""

import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from modelcast.consumers.fetch.cache.resume_journal import ResumeJournal
from modelcast.consumers.fetch.planning.blocks import block_bytes
from modelcast.consumers.fetch.planning.parts import runs
from modelcast.consumers.fetch.planning.steps import Source
from modelcast.consumers.fetch.transfer.readers import at_once
from modelcast.consumers.fetch.transfer.reading import ObjectReplaced, Reading
from modelcast.consumers.fetch.transfer.spans import Span
from modelcast.consumers.fetch.transfer.target import Target
from modelcast.consumers.fetch.verified_prefix import VerifiedPrefix
from modelcast.schemas.errors import StoreUnavailable
from modelcast.schemas.manifest import BLOCK_SIZE_BYTES

REPLACED_MAX = 3


def bring_object(
    reading: Reading, key: str, path: Path, prefix: VerifiedPrefix, *, source: Source, readers: int, most: int
) -> None:
    """Have the object at ``key`` in ``path``.

    Args:
        prefix: grows with what of it is there; given up when what came is worth nothing. Ended once not waited for.
        most: blocks that are asked for at once.

    Raises:
        BlobMissing: it is not in the store.
        DamagedBytes: it has another size.
        StoreUnavailable: the store did not answer, or the object is replaced again and again.
        FetchTooSlow, FetchCancelled: as they say.
        OSError: the disk.
    """
    taking = _Taking(path, prefix.size_bytes)
    if taking.is_whole():
        prefix.begin(prefix.blocks)
        return
    for _ in range(REPLACED_MAX):
        try:
            _bring(reading, taking, key, prefix, source, readers, most)
        except ObjectReplaced:
            prefix.give_up()
            taking.forget()
        else:
            return
    raise StoreUnavailable("the object is replaced again and again", subject=f"{reading.store_name(source)}/{key}")


def here_bytes(path: Path, size_bytes: int) -> int:
    """What is there, for good, of an object of this size that an earlier call was bringing to ``path``."""
    taking = _Taking(path, size_bytes)
    return size_bytes if taking.is_whole() else sum(taking.written()[1].values())


def _bring(
    reading: Reading, taking: "_Taking", key: str, prefix: VerifiedPrefix, source: Source, readers: int, most: int
) -> None:
    size_bytes = prefix.size_bytes
    etag, written = taking.begin()
    whole = {block for block in prefix.blocks if written.get(block) == block_bytes(size_bytes, block)}
    prefix.begin(whole)
    if etag:
        reading.expect(source, key, etag)
    stop = threading.Event()
    context = reading.within(size_bytes, stop, _Left(prefix))
    noted = _Noted(reading, taking.journal, source, key, prefix)

    parts = runs(prefix.blocks - whole, written=written.keys(), most=most)
    spans = [_span(key, size_bytes, first, count, written.get(first, 0)) for first, count in parts]
    with Target(taking.path) as target:
        at_once(lambda span: reading.bring(span, source, target, context, noted), spans, readers, stop)
    taking.journal.forget()


class _Noted:
    """Notes what is written of an object (``SpanListener``)."""

    def __init__(
        self, reading: Reading, journal: ResumeJournal, source: Source, key: str, prefix: VerifiedPrefix
    ) -> None:
        self._reading, self._journal, self._source, self._key = reading, journal, source, key
        self._prefix = prefix

    def came(self, span: Span, count: int) -> None:
        block = (span.position - 1) // BLOCK_SIZE_BYTES
        there = span.position - block * BLOCK_SIZE_BYTES
        self._journal.note(self._reading.etag(self._source, self._key), block, there)
        if there == block_bytes(span.size_bytes, block):
            self._prefix.came(block)


class _Left:
    """An ``End``: the object is not waited for any more."""

    def __init__(self, prefix: VerifiedPrefix) -> None:
        self._prefix = prefix

    def is_set(self) -> bool:
        return self._prefix.is_left


def _span(key: str, size_bytes: int, first: int, count: int, written: int) -> Span:
    start, end = first * BLOCK_SIZE_BYTES, min((first + count) * BLOCK_SIZE_BYTES, size_bytes)
    return Span(key, key, size_bytes, start + written, end - start - written, steady=True)


class _Taking:
    """A place where an object is being put together."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        self.path = path
        self.journal = ResumeJournal(path.with_name(path.name + ".begun"), size_bytes)
        self._size_bytes = size_bytes

    def is_whole(self) -> bool:
        """It came before, and was not used yet."""
        return self._has_room() and not self.journal.is_there()

    def written(self) -> tuple[str, Mapping[int, int]]:
        """The etag of what is written, and how much of it, by block."""
        etag, written = self.journal.read()
        return (etag, written) if etag and self._has_room() else ("", {})

    def begin(self) -> tuple[str, Mapping[int, int]]:
        """Make room, if there is none; what ``written`` says."""
        etag, written = self.written()
        if not etag:
            self.journal.begin()  # first: without it, the file would pass for a whole one
            fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            try:
                if self._size_bytes:
                    os.posix_fallocate(fd, 0, self._size_bytes)
            finally:
                os.close(fd)
        return etag, written

    def forget(self) -> None:
        """Nothing of it is worth anything."""
        self.path.unlink(missing_ok=True)
        self.journal.forget()

    def _has_room(self) -> bool:
        with suppress(OSError):
            return self.path.stat().st_size == self._size_bytes
        return False
