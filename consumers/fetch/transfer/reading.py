"""Reading spans from stores: resumed, watched for stalls and for the object changing, within the budget."""

import threading
import time
from collections.abc import Callable, Mapping

from modelcast.consumers.fetch.errors import BlobMissing, DamagedBytes, FetchTooSlow
from modelcast.consumers.fetch.planning.steps import Way
from modelcast.consumers.fetch.transfer.link import Link, Turn
from modelcast.consumers.fetch.transfer.retry import check, retried
from modelcast.consumers.fetch.transfer.spans import Span
from modelcast.consumers.fetch.transfer.stall_watchdog import Pace, Stopwatch
from modelcast.consumers.fetch.transfer.target import DIRECT_ALIGN_BYTES, BlockBuffers, Target
from modelcast.schemas.errors import ContentError, NotFound, Refused, StoreUnavailable
from modelcast.schemas.manifest import BLOCK_SIZE_BYTES
from modelcast.schemas.ports import ByteStream, ObjectStore, PreconditionFailed

FLOOR_BYTES_PER_SECOND = 1024
FLOOR_AFTER_SECONDS = 30.0
DEADLINE_SECONDS = 3600.0
DEADLINE_BYTES_PER_SECOND = 32 * 1024
"""A transfer that is slower in all gives its place to others for a while; what came stays."""
SAVE_SECONDS = 0.01
"""What came is written after so long at the latest: more than that no kill costs. Fast links fill a block by then."""

IsOver = Callable[[], bool]


class ObjectReplaced(Exception):
    """An object whose bytes nothing proves is another one now: what came of it is worthless."""


class Reading:
    """What one fetch reads. Thread-safe.

    Args:
        stores: by way.
        link: what all transfers of this process share.
        turn: taken before the first byte is read from the origin; None: that needs nobody's leave.
        cancelled: asked often.

    Attributes:
        lock: held while counting.
        moved_bytes: received so far, by way; what had to come twice counts twice.
    """

    def __init__(
        self, stores: Mapping[Way, ObjectStore], link: Link, turn: Turn | None, cancelled: Callable[[], bool]
    ) -> None:
        self.lock = threading.Lock()
        self.moved_bytes = {Way.REGION: 0, Way.ORIGIN: 0}
        self._stores = stores
        self._link = link
        self._turn = turn
        self._cancelled = cancelled
        self._etags: dict[tuple[Way, str], str] = {}
        self._buffers = BlockBuffers()
        self._watches = {Way.REGION: Stopwatch(), Way.ORIGIN: Stopwatch()}

    def store_name(self, way: Way) -> str:
        """For messages."""
        return self._stores[way].name

    def seconds(self) -> dict[Way, float]:
        """For how long bytes were being read, by way."""
        with self.lock:
            return {way: watch.seconds(time.monotonic()) for way, watch in self._watches.items()}

    def end_of(self, size_bytes: int, stop: threading.Event) -> IsOver:
        """What ends a transfer of so many bytes that begins now."""
        slow = self._link.budget.limit_bytes_per_second
        rate = DEADLINE_BYTES_PER_SECOND if slow is None else min(DEADLINE_BYTES_PER_SECOND, slow / 64)
        ends_at = time.monotonic() + max(DEADLINE_SECONDS, size_bytes / rate)

        def is_over() -> bool:
            if time.monotonic() > ends_at:
                raise FetchTooSlow("the transfer took too long", hint="it goes on later with what is still missing")
            return stop.is_set() or self._cancelled() or (self._turn is not None and self._turn.lost)

        return is_over

    def bring(self, span: Span, way: Way, target: Target, is_over: IsOver, came: Callable[[Span, int], None]) -> None:
        """Read what is left of ``span`` into ``target``; ``came`` is told of every piece, after it is written.

        Raises:
            BlobMissing: the store does not have the object.
            DamagedBytes: it has another size.
            ObjectReplaced: see there.
            StoreUnavailable, FetchTooSlow, FetchCancelled: as they say.
        """
        if way is Way.ORIGIN and self._turn is not None:
            self._turn.take()

        def read() -> None:
            with self.lock:
                self._watches[way].start(time.monotonic())
            try:
                self._read(span, way, target, is_over, came)
            finally:
                with self.lock:
                    self._watches[way].stop(time.monotonic())

        retried(read, is_over, position=lambda: span.position)

    def _read(self, span: Span, way: Way, target: Target, is_over: IsOver, came: Callable[[Span, int], None]) -> None:
        store, at = self._stores[way], (way, span.key)
        try:
            with store.open(span.key, start=span.position, length=span.left_bytes, etag=self._etags.get(at)) as stream:
                if stream.info.size_bytes != span.size_bytes:
                    raise DamagedBytes(
                        span.label,
                        expected=f"{span.size_bytes} bytes",
                        got=f"{stream.info.size_bytes} bytes",
                        store=store.name,
                    )
                self._etags[at] = stream.info.etag
                self._drain(stream, span, way, target, is_over, came)
        except PreconditionFailed as error:
            self._etags.pop(at, None)
            if span.steady:
                raise ObjectReplaced from error
            # What came stays: the digest of the whole file will judge it.
            raise StoreUnavailable("the object was replaced while it was read", subject=error.subject) from error
        except NotFound as error:
            raise BlobMissing(f"{span.label} is not in the store", subject=error.subject) from error
        except (DamagedBytes, Refused):
            raise
        except ContentError as error:
            got = f"less than {span.position} bytes"
            raise DamagedBytes(span.label, expected=f"{span.size_bytes} bytes", got=got, store=store.name) from error

    def _drain(
        self,
        stream: ByteStream,
        span: Span,
        way: Way,
        target: Target,
        is_over: IsOver,
        came: Callable[[Span, int], None],
    ) -> None:
        subject = f"{self._stores[way].name}/{span.key}"
        budget = self._link.budget if way is Way.ORIGIN else None
        pace = Pace(FLOOR_BYTES_PER_SECOND, FLOOR_AFTER_SECONDS, time.monotonic())
        with self._buffers.one() as buffer:
            while span.left_bytes:
                block = _Block(span, target, buffer, came, time.monotonic())
                try:
                    while block.room:
                        check(is_over)
                        count = stream.readinto(block.room[: self._link.chunk_bytes(way)])  # our share changes
                        if count == 0:
                            raise StoreUnavailable("the object ended early", subject=subject)
                        with self.lock:
                            self.moved_bytes[way] += count
                        now = time.monotonic()
                        block.took(count, now)
                        if pace.is_below_floor(count, now):
                            raise StoreUnavailable("the link has all but stalled", subject=subject)
                        if budget is not None:
                            pace.excuse(budget.spend(count, lambda: check(is_over)))
                finally:
                    block.save()  # what came before the link broke need not come again

    def expect(self, way: Way, key: str, etag: str) -> None:
        """Read on only if the object is still the one of ``etag``."""
        self._etags[way, key] = etag

    def etag(self, way: Way, key: str) -> str:
        """Of what is being read; "" before the first answer."""
        return self._etags.get((way, key), "")


class _Block:
    """What is left of the block that a span is at, on its way through memory.

    Args:
        buffer: a block's memory.
        came: told of every piece, after it is written.
        now: any monotonic clock, in seconds.

    Attributes:
        room: for the bytes that come next.
    """

    def __init__(
        self, span: Span, target: Target, buffer: memoryview, came: Callable[[Span, int], None], now: float
    ) -> None:
        at = span.position % BLOCK_SIZE_BYTES  # bytes lie in the memory's pages as in the file's: direct writes need it
        self.room = buffer[at : at + span.next_bytes]
        self._span = span
        self._target = target
        self._came = came
        self._unsaved = self.room
        self._unsaved_bytes = 0
        self._saved_at = now

    def took(self, count: int, now: float) -> None:
        """So many bytes came; whole pages are written when it is time."""
        self.room = self.room[count:]
        self._unsaved_bytes += count
        if now - self._saved_at >= SAVE_SECONDS:
            self._saved_at = now
            self._save(self._unsaved_bytes - (self._span.position + self._unsaved_bytes) % DIRECT_ALIGN_BYTES)

    def save(self) -> None:
        """Write all that came."""
        self._save(self._unsaved_bytes)

    def _save(self, count: int) -> None:
        if count > 0:
            self._span.write(self._target, self._unsaved[:count])
            self._unsaved, self._unsaved_bytes = self._unsaved[count:], self._unsaved_bytes - count
            self._came(self._span, count)
