"""Moving parts of files from a store into preallocated files, several at once, each block hashed as it arrives.

The manifest's digest, which the log vouches for, binds path, size and blocks, so right blocks are the right bytes. The
caller checks the whole file's digest (which only names the object) before it passes the file on under that name.
Memory is bounded by one block a thread. A part that is interrupted goes on from its last byte.
"""

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from modelcast.consumers.fetch.cache.resume_journal import ResumeJournal
from modelcast.consumers.fetch.context import Context
from modelcast.consumers.fetch.errors import DamagedBytes
from modelcast.consumers.fetch.planning.parts import PART_BLOCKS_MAX, Part, parts_of
from modelcast.consumers.fetch.planning.steps import Source, Step, Way
from modelcast.consumers.fetch.transfer.link import Lease, Link
from modelcast.consumers.fetch.transfer.objects import bring_object
from modelcast.consumers.fetch.transfer.readers import at_once
from modelcast.consumers.fetch.transfer.reading import Reading, SpanListener
from modelcast.consumers.fetch.transfer.spans import FileSpan
from modelcast.consumers.fetch.transfer.target import Target
from modelcast.consumers.fetch.verified_prefix import VerifiedPrefix
from modelcast.schemas.errors import NotFound
from modelcast.schemas.ports import ObjectStore

SMALL_PART_BYTES = 256 * 1024
SMALL_READERS = 16
"""Small parts wait for answers most of the time, so more of them are asked for at once."""


class PartFiles(Protocol):
    """Where the parts of files go, and what is done once bytes of them are there. Called from several threads."""

    def path(self, part: Part) -> Path:
        """The preallocated file of a part."""
        ...

    def journal(self, part: Part) -> ResumeJournal | None:
        """Where it is noted how much of each block of a part's file is written; None: nowhere."""
        ...

    def came(self, digest: str, block: int) -> None:
        """A block of a file, by its digest, is written, and right."""
        ...

    def distrust(self, digest: str) -> None:
        """A file is damaged in the regional bucket."""
        ...


class Download:
    """One fetch's transfers. Thread-safe.

    Attributes:
        moved_bytes: received so far, by the source they came; what had to come twice counts twice.
        arrived: digests of files of which at least one block came from the origin.
    """

    def __init__(
        self,
        stores: dict[Source, ObjectStore],
        files: PartFiles,
        *,
        context: Context,
        link: Link | None = None,
        lease: Lease | None = None,
        far_most: int = PART_BLOCKS_MAX,
    ) -> None:
        """Args:
        stores: the region's (if there is one) and the origin.
        files: where they go.
        context: gets further bytes of files, from several threads but never at once.
        link: what all transfers of this process share; None: nothing.
        lease: taken before the first byte is read from the origin; None: it is read without one.
        far_most: blocks of an object that are asked for at once, at most (``part_blocks``).
        """
        self._far_most = far_most
        self._files = files
        self._context = context
        self._link = link or Link()
        self._reading = Reading(stores, self._link, lease, context)
        self.moved_bytes = self._reading.moved_bytes
        self.arrived: set[str] = set()

    @property
    def seconds(self) -> dict[Source, float]:
        """For how long bytes were being read, by way."""
        return self._reading.seconds()

    def object(
        self,
        key: str,
        path: Path,
        size_bytes: int,
        *,
        source: Source = Source.ORIGIN,
        prefix: VerifiedPrefix | None = None,
    ) -> None:
        """Bring an object whose digest is not known in advance, going on from what an interruption left.

        Args:
            prefix: grows with what of it is there.

        Raises:
            BlobMissing: it is not in the store.
            DamagedBytes: it has another size.
            StoreUnavailable, FetchTooSlow, FetchCancelled: as they say.
        """
        prefix = prefix or VerifiedPrefix(size_bytes)
        most = self._far_most if source is Source.ORIGIN else PART_BLOCKS_MAX
        bring_object(self._reading, key, path, prefix, source=source, readers=self._link.readers, most=most)

    def run(self, parts: Sequence[Part]) -> None:
        """Bring all parts; the first error of any thread stops the others and is raised here.

        Raises:
            DamagedBytes: a file is not what the manifest says, though what was wrong was fetched again.
            BlobMissing, StoreUnavailable, FetchTooSlow, FetchCancelled: as they say.
        """
        stop = threading.Event()
        context = self._reading.within(sum(part.size_bytes for part in parts), stop)
        wrong = self._bring_all(parts, context, stop)
        for digest in {span.part.step.file.digest for span in wrong if span.is_wrong_in_region}:
            self._files.distrust(digest)
        again = [part for span in wrong for part in _from_origin(span)]
        self._bring_all(again, context, stop, counts=False)

    def _bring_all(
        self, parts: Sequence[Part], context: Context, stop: threading.Event, *, counts: bool = True
    ) -> list[FileSpan]:
        """Bring ``parts``; gives those that the regional bucket had wrong. What the origin has wrong is raised."""
        one = _Pass(self._reading, self._files, parts, context, counts=counts)

        def bring(part: Part) -> None:
            span, path = FileSpan(part), self._files.path(part)
            if part.written_bytes:
                _take_over(span, path)
                one.came(span, span.written_bytes)
            with Target(path, one.locks.get(part.step.file.digest)) as target:
                self._bring(span, target, context, one)
            one.done(span)

        at_once(bring, parts, self._readers_for(parts), stop)
        context.check()
        return one.wrong

    def _readers_for(self, parts: Sequence[Part]) -> int:
        small = sum(part.size_bytes - part.written_bytes for part in parts) < SMALL_PART_BYTES * len(parts)
        return max(SMALL_READERS, self._link.readers) if small else self._link.readers

    def _bring(self, span: FileSpan, target: Target, context: Context, listener: SpanListener[FileSpan]) -> None:
        digest = span.part.step.file.digest
        if span.part.step.way is Way.REGION:
            try:
                self._reading.bring(span, Source.REGION, target, context, listener)
            except NotFound:  # gone since we looked: the origin has it
                pass
            except DamagedBytes:
                self._files.distrust(digest)
        if span.left_bytes:
            span.from_origin_on()
            with self._reading.lock:
                self.arrived.add(digest)
            self._reading.bring(span, Source.ORIGIN, target, context, listener)


class _Pass:
    """Parts that are brought together: what came of each is noted, and who must know hears of it. Thread-safe.

    Attributes:
        locks: of files that come in several parts, by digest.
        wrong: spans that the regional bucket had wrong.
    """

    def __init__(
        self, reading: Reading, files: PartFiles, parts: Sequence[Part], context: Context, *, counts: bool
    ) -> None:
        self._reading, self._files, self._context, self._counts = reading, files, context, counts
        self._left = Counter(part.step.file.digest for part in parts)
        self._journals: dict[str, ResumeJournal | None] = {}
        self.locks: Mapping[str, threading.Lock] = {d: threading.Lock() for d, n in self._left.items() if n > 1}
        self.wrong: list[FileSpan] = []

    def came(self, span: FileSpan, count: int) -> None:
        """See ``SpanListener``."""
        if span.wrong:
            self._check_origin(span)
        if self._counts:
            with self._reading.lock:
                self._context.progress(count)
        if span.written_bytes:
            self._note(span)
        for block in span.blocks_within(count):
            self._files.came(span.part.step.file.digest, block)

    def done(self, span: FileSpan) -> None:
        """All of a part is there."""
        digest = span.part.step.file.digest
        if span.wrong:
            self.wrong.append(span)
        with self._reading.lock:
            self._left[digest] -= 1
            if self._counts and not self._left[digest]:
                self._context.meter.file_done()

    def _note(self, span: FileSpan) -> None:
        digest = span.part.step.file.digest
        with self._reading.lock:  # few files are noted: most come in one piece
            if digest not in self._journals:
                self._journals[digest] = self._files.journal(span.part)
            journal = self._journals[digest]
        if journal is not None:
            journal.note(digest, span.block, span.written_bytes)

    def _check_origin(self, span: FileSpan) -> None:
        number = span.wrong_from_origin()
        if number is not None:
            expected, store = span.part.step.file.blocks[number], self._reading.store_name(Source.ORIGIN)
            raise DamagedBytes(span.label, expected=expected, got=span.wrong[number], store=store)


def _take_over(span: FileSpan, path: Path) -> None:
    with path.open("rb", buffering=0) as file:
        file.seek(span.start)
        span.take_over(memoryview(file.read(span.part.written_bytes)))


def _from_origin(span: FileSpan) -> tuple[Part, ...]:
    step = span.part.step
    return parts_of([Step(step.file, Way.WHOLE, step.also_at)], {step.file.digest: span.wrong.keys()})
