"""Moving parts of files from a store into preallocated files, several at once, each block hashed as it arrives.

The manifest's digest, which the log vouches for, binds path, size and blocks, so right blocks are the right bytes. The
caller checks the whole file's digest (which only names the object) before it passes the file on under that name.
Memory is bounded by one block a thread. A part that is interrupted goes on from its last byte.
"""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from modelcast.consumers.fetch.cache.resume_journal import ResumeJournal
from modelcast.consumers.fetch.context import Context
from modelcast.consumers.fetch.errors import DamagedBytes
from modelcast.consumers.fetch.planning.parts import PART_BLOCKS_MAX, Part, parts_of
from modelcast.consumers.fetch.planning.steps import Source, Step, Way
from modelcast.consumers.fetch.transfer.link import Lease, Link
from modelcast.consumers.fetch.transfer.objects import bring_object
from modelcast.consumers.fetch.transfer.readers import at_once
from modelcast.consumers.fetch.transfer.reading import Reading
from modelcast.consumers.fetch.transfer.spans import FileSpan, Span
from modelcast.consumers.fetch.transfer.target import Target
from modelcast.consumers.fetch.transfer.verified_prefix import VerifiedPrefix
from modelcast.schemas.errors import NotFound
from modelcast.schemas.ports import ObjectStore

SMALL_PART_BYTES = 256 * 1024
SMALL_READERS = 16
"""Small parts wait for answers most of the time, so more of them are asked for at once."""


class Download:
    """One fetch's transfers. Thread-safe.

    Attributes:
        moved_bytes: received so far, by the source they came; what had to come twice counts twice.
        arrived: digests of files of which at least one block came from the origin.
    """

    def __init__(
        self,
        stores: dict[Source, ObjectStore],
        path_of: Callable[[Part], Path],
        *,
        context: Context,
        distrust: Callable[[str], None],
        block_came: Callable[[str, int], None] = lambda _digest, _block: None,
        link: Link | None = None,
        lease: Lease | None = None,
        journal_of: Callable[[Part], ResumeJournal] | None = None,
        far_most: int = PART_BLOCKS_MAX,
    ) -> None:
        """Args:
        stores: the region's (if there is one) and the origin.
        path_of: the preallocated file of a part.
        context: gets further bytes of files, from several threads but never at once.
        distrust: called with the digest of a file that is damaged in the regional bucket.
        block_came: called with the digest of a file and the number of a block of it that is written, and right.
        link: what all transfers of this process share; None: nothing.
        lease: taken before the first byte is read from the origin; None: it is read without one.
        journal_of: where it is noted how much of each block of a part's file is written; None: nowhere.
        far_most: blocks of an object that are asked for at once, at most (``part_blocks``).
        """
        self._far_most = far_most
        self._path_of = path_of
        self._journal_of = journal_of
        self._context = context
        self._distrust = distrust
        self._block_came = block_came
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
            self._distrust(digest)
        again = [part for span in wrong for part in _from_origin(span)]
        self._bring_all(again, context, stop, counts=False)

    def _bring_all(
        self, parts: Sequence[Part], context: Context, stop: threading.Event, *, counts: bool = True
    ) -> list[FileSpan]:
        """Bring ``parts``; gives those that the regional bucket had wrong. What the origin has wrong is raised."""
        left = Counter(part.step.file.digest for part in parts)
        locks = {digest: threading.Lock() for digest, count in left.items() if count > 1}
        journals: dict[str, ResumeJournal] = {}
        wrong: list[FileSpan] = []

        def note(span: FileSpan, journal_of: Callable[[Part], ResumeJournal]) -> None:
            digest = span.part.step.file.digest
            with self._reading.lock:  # few files are told of: most come in one piece
                journal = journals.get(digest) or journals.setdefault(digest, journal_of(span.part))
            journal.note(digest, span.block, span.written_bytes)

        def came(span: FileSpan, count: int) -> None:
            if span.wrong:
                self._check_origin(span)
            if counts:
                with self._reading.lock:
                    context.progress(count)
            if self._journal_of and span.written_bytes:
                note(span, self._journal_of)
            for block in span.blocks_within(count):
                self._block_came(span.part.step.file.digest, block)

        def bring(part: Part) -> None:
            span, file, path = FileSpan(part), part.step.file, self._path_of(part)
            if part.written_bytes:
                _take_over(span, path)
                came(span, span.written_bytes)
            direct = self._link.writes_direct(path, file.size_bytes)
            with Target(path, locks.get(file.digest), direct=direct) as target:
                self._bring(span, target, context, lambda _, count: came(span, count))
            if span.wrong:
                wrong.append(span)
            with self._reading.lock:
                left[file.digest] -= 1
                if counts and not left[file.digest]:
                    context.meter.file_done()

        at_once(bring, parts, self._readers_for(parts), stop)
        context.check()
        return wrong

    def _readers_for(self, parts: Sequence[Part]) -> int:
        small = sum(part.size_bytes - part.written_bytes for part in parts) < SMALL_PART_BYTES * len(parts)
        return max(SMALL_READERS, self._link.readers) if small else self._link.readers

    def _bring(self, span: FileSpan, target: Target, context: Context, came: Callable[[Span, int], None]) -> None:
        digest = span.part.step.file.digest
        if span.part.step.way is Way.REGION:
            try:
                self._reading.bring(span, Source.REGION, target, context, came)
            except NotFound:  # gone since we looked: the origin has it
                pass
            except DamagedBytes:
                self._distrust(digest)
        if span.left_bytes:
            span.from_origin_on()
            with self._reading.lock:
                self.arrived.add(digest)
            self._reading.bring(span, Source.ORIGIN, target, context, came)

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
