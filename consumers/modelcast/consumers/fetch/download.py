"""Moving parts of files from a store into preallocated files, several at once, each file hashed while it arrives.

A file counts when its whole SHA-256 is right. Where it is not, its blocks tell which bytes are wrong. Memory is bounded
by one buffer a thread. A part that is interrupted goes on from its last byte.
"""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from hashlib import sha256
from pathlib import Path

from modelcast.consumers.fetch.errors import DamagedBytes
from modelcast.consumers.fetch.link import Link, Turn
from modelcast.consumers.fetch.objects import bring_object
from modelcast.consumers.fetch.plan import Part, Step, Way, parts_of
from modelcast.consumers.fetch.reading import IsOver, Reading
from modelcast.consumers.fetch.retry import check
from modelcast.consumers.fetch.spans import ArrivingFile, InOrder, Span
from modelcast.schemas.errors import NotFound
from modelcast.schemas.manifest import BLOCK_SIZE_BYTES
from modelcast.schemas.ports import ObjectStore, Progress

SMALL_PART_BYTES = 256 * 1024
SMALL_READERS = 16
"""Small parts wait for answers most of the time, so more of them are asked for at once."""
BESIDE_FROM_BYTES = 1024 * 1024
"""From here on hashing gets a thread of its own."""


class Download:
    """One fetch's transfers. Thread-safe.

    Attributes:
        moved_bytes: received so far, by the way they came; what had to come twice counts twice.
        arrived: digests of files of which at least one block came from the origin.
        proven: digests of files whose whole bytes were hashed, and right.
    """

    def __init__(
        self,
        stores: dict[Way, ObjectStore],
        path_of: Callable[[Part], Path],
        *,
        progress: Progress,
        cancelled: Callable[[], bool],
        distrust: Callable[[str], None],
        link: Link | None = None,
        turn: Turn | None = None,
    ) -> None:
        """Args:
        stores: the region's (if there is one) and the origin.
        path_of: the preallocated file of a part.
        progress: told of further bytes of files, from several threads but never at once.
        cancelled: asked often.
        distrust: told the digest of a file that is damaged in the regional bucket.
        link: what all transfers of this process share; None: nothing.
        turn: taken before the first byte is read from the origin; None: that needs nobody's leave.
        """
        self._path_of = path_of
        self._progress = progress
        self._distrust = distrust
        self._link = link or Link()
        self._reading = Reading(stores, self._link, turn, cancelled)
        self.moved_bytes = self._reading.moved_bytes
        self.arrived: set[str] = set()
        self.proven: set[str] = set()

    @property
    def seconds(self) -> dict[Way, float]:
        """For how long bytes were being read, by way."""
        return self._reading.seconds()

    def object(self, key: str, path: Path, size_bytes: int, *, way: Way = Way.ORIGIN) -> None:
        """Bring an object that nobody can check in advance, going on from what an interruption left.

        Raises:
            BlobMissing: it is not in the store.
            DamagedBytes: it has another size.
            StoreUnavailable, FetchTooSlow, FetchCancelled: as they say.
        """
        bring_object(self._reading, key, path, size_bytes, way=way, readers=self._link.readers)

    def run(self, parts: Sequence[Part]) -> None:
        """Bring all parts; the first error of any thread stops the others and is raised here.

        Raises:
            DamagedBytes: a file is not what the manifest says, though what was wrong was fetched again.
            BlobMissing, StoreUnavailable, FetchTooSlow, FetchCancelled: as they say.
        """
        stop = threading.Event()
        is_over = self._reading.end_of(sum(part.size_bytes for part in parts), stop)
        files = self._bring_and_hash(parts, is_over, stop, self._progress)
        wrong = [file for file in files if file.digest != file.file.digest]
        if wrong:
            again = [part for file in wrong for part in self._parts_again(file, is_over)]
            for file in self._bring_and_hash(again, is_over, stop, _silent):
                if file.digest != file.file.digest:
                    self._parts_again(file, is_over)  # raises: what is wrong now came from the origin
                    raise DamagedBytes(file.file.path, expected=file.file.digest, got=file.digest, store=str(file.path))
        self.proven |= {file.file.digest for file in files}

    def _bring_and_hash(
        self, parts: Sequence[Part], is_over: IsOver, stop: threading.Event, progress: Progress
    ) -> list[ArrivingFile]:
        """Bring ``parts``; their files, hashed."""
        spans = [Span.of(part) for part in parts]
        files = self._files(parts, spans)
        in_order = InOrder(files, is_over)

        def came(_: Span, count: int) -> None:
            in_order.came()
            with self._reading.lock:
                progress(count)

        def bring(part: Part, span: Span) -> None:
            try:
                self._bring(part, span, is_over, came)
            finally:
                in_order.came()

        beside = sum(span.left_bytes for span in spans) >= BESIDE_FROM_BYTES
        if len(spans) == 1 and not beside:
            bring(parts[0], spans[0])
        elif spans:
            self._at_once(bring, parts, spans, in_order if beside else None, stop)
        if not beside:
            in_order.run()
        check(is_over)
        return files

    def _at_once(
        self,
        bring: Callable[[Part, Span], None],
        parts: Sequence[Part],
        spans: Sequence[Span],
        in_order: InOrder | None,
        stop: threading.Event,
    ) -> None:
        small = sum(span.left_bytes for span in spans) < SMALL_PART_BYTES * len(spans)
        readers = min(len(spans), max(SMALL_READERS, self._link.readers) if small else self._link.readers)
        with ThreadPoolExecutor(readers + 1, "fetch") as pool:
            futures: list[Future[None]] = [pool.submit(in_order.run)] if in_order else []
            futures += [pool.submit(bring, part, span) for part, span in zip(parts, spans, strict=True)]
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                failed = [error for future in done if (error := future.exception())]
                if failed:
                    raise failed[0]
            except BaseException:
                stop.set()
                for future in futures:
                    future.cancel()
                raise

    def _bring(self, part: Part, span: Span, is_over: IsOver, came: Callable[[Span, int], None]) -> None:
        fd = os.open(self._path_of(part), os.O_WRONLY | os.O_CLOEXEC)
        try:
            if part.step.way is Way.REGION:
                try:
                    self._reading.bring(span, Way.REGION, fd, is_over, came)
                except NotFound:  # gone since we looked: the origin has it
                    pass
                except DamagedBytes:
                    self._distrust(part.step.file.digest)
            if span.left_bytes:
                span.back_to_block()
                span.origin_from = span.position
                with self._reading.lock:
                    self.arrived.add(part.step.file.digest)
                self._reading.bring(span, Way.ORIGIN, fd, is_over, came)
        finally:
            os.close(fd)

    def _parts_again(self, file: ArrivingFile, is_over: IsOver) -> tuple[Part, ...]:
        """What of a file is wrong and may come again.

        Raises:
            DamagedBytes: it came from the origin; or every block is right, and yet the whole is not: the manifest lies.
        """
        bad = wrong_blocks(file.path, file.file.blocks, is_over)
        origin = self._reading.store_name(Way.ORIGIN)
        if not bad:
            raise DamagedBytes(file.file.path, expected=file.file.digest, got=file.digest, store=origin)
        for number, got in bad.items():
            if file.from_origin(number):
                raise DamagedBytes(file.file.path, expected=file.file.blocks[number], got=got, store=origin)
        if file.step.way is Way.REGION:
            self._distrust(file.file.digest)
        return parts_of(Step(file.file, Way.ORIGIN, file.step.also_at), bad.keys())

    def _files(self, parts: Sequence[Part], spans: Sequence[Span]) -> list[ArrivingFile]:
        by_path: dict[Path, tuple[Step, list[Span]]] = {}
        for part, span in zip(parts, spans, strict=True):
            by_path.setdefault(self._path_of(part), (part.step, []))[1].append(span)
        return [ArrivingFile(step, path, each) for path, (step, each) in by_path.items()]


def wrong_blocks(path: Path, blocks: Sequence[str], is_over: IsOver = lambda: False) -> dict[int, str]:
    """The blocks of a file that are not what ``blocks`` says, with what they are (hex digests)."""
    wrong: dict[int, str] = {}
    with path.open("rb", buffering=0) as file:
        for number, expected in enumerate(blocks):
            check(is_over)
            got = sha256(file.read(BLOCK_SIZE_BYTES)).hexdigest()
            if got != expected:
                wrong[number] = got
    return wrong


def _silent(_: int) -> None:
    pass
