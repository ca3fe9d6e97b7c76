"""Reading spans from stores: resumed, watched for stalls and for the object changing, within the rate limit."""

import threading
from collections.abc import Mapping
from typing import Generic, Protocol, TypeVar

from modelcast.consumers.fetch.context import Clock, Context, End
from modelcast.consumers.fetch.errors import BlobMissing, DamagedBytes, FetchTooSlow
from modelcast.consumers.fetch.planning.steps import Source
from modelcast.consumers.fetch.transfer.link import Lease, Link
from modelcast.consumers.fetch.transfer.retry import retried
from modelcast.consumers.fetch.transfer.spans import Span
from modelcast.consumers.fetch.transfer.stall_watchdog import StallWatchdog, Stopwatch
from modelcast.consumers.fetch.transfer.target import BlockBuffers, Target
from modelcast.schemas.errors import ContentError, NotFound, Refused, StoreUnavailable
from modelcast.schemas.ports import ByteStream, ObjectStore, PreconditionFailed

FLOOR_BYTES_PER_SECOND = 1024
FLOOR_AFTER_SECONDS = 30.0
DEADLINE_SECONDS = 3600.0
DEADLINE_BYTES_PER_SECOND = 32 * 1024
"""A transfer with a lower mean rate is ended, so that others run; it is resumed later from the bytes that arrived."""
SAVE_SECONDS = 0.01
"""Seconds after which bytes that arrived are written at the latest; a kill loses no more than these."""


S = TypeVar("S", bound=Span)
S_contra = TypeVar("S_contra", bound=Span, contravariant=True)


class SpanListener(Protocol[S_contra]):
    """Who is told what came of spans. Called from several threads."""

    def came(self, span: S_contra, count: int) -> None:
        """So many more bytes of ``span`` are written."""
        ...


class Deadline:
    """An ``End`` by the clock."""

    def __init__(self, clock: Clock, ends_at: float) -> None:
        self._clock, self._ends_at = clock, ends_at

    def is_set(self) -> bool:
        """Raises ``FetchTooSlow`` once it has passed."""
        if self._clock.monotonic() > self._ends_at:
            raise FetchTooSlow("the transfer took too long", hint="it goes on later with what is still missing")
        return False


class LostLease:
    """An ``End``: another worker took over what this one was bringing."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease

    def is_set(self) -> bool:
        """Whether it did."""
        return self._lease.lost


class ObjectReplaced(Exception):
    """An object whose bytes nothing proves is another one now: what came of it is worthless."""


class Reading:
    """What one fetch reads. Thread-safe.

    Args:
        stores: by way.
        link: what all transfers of this process share.
        lease: taken before the first byte is read from the origin; None: it is read without one.
        context: counts what comes, and ends it.

    Attributes:
        lock: held while counting.
        moved_bytes: received so far, by way; what had to come twice counts twice.
    """

    def __init__(self, stores: Mapping[Source, ObjectStore], link: Link, lease: Lease | None, context: Context) -> None:
        self.lock = threading.Lock()
        self.moved_bytes = {Source.REGION: 0, Source.ORIGIN: 0}
        self._stores = stores
        self._link = link
        self._lease = lease
        self._context = context
        self._clock = context.clock
        self._etags: dict[tuple[Source, str], str] = {}
        self._buffers = BlockBuffers()
        self._watches = {Source.REGION: Stopwatch(), Source.ORIGIN: Stopwatch()}

    def store_name(self, source: Source) -> str:
        """For messages."""
        return self._stores[source].name

    def seconds(self) -> dict[Source, float]:
        """For how long bytes were being read, by way."""
        with self.lock:
            return {source: watch.seconds(self._clock.monotonic()) for source, watch in self._watches.items()}

    def within(self, size_bytes: int, *ends: End) -> Context:
        """For a transfer of so many bytes that begins now: ends it if it takes too long, or its lease is lost."""
        slow = self._link.rate_limit.limit_bytes_per_second
        rate = DEADLINE_BYTES_PER_SECOND if slow is None else min(DEADLINE_BYTES_PER_SECOND, slow / 64)
        ends_at = self._clock.monotonic() + max(DEADLINE_SECONDS, size_bytes / rate)
        lost = (LostLease(self._lease),) if self._lease is not None else ()
        return self._context.narrowed(*ends, Deadline(self._clock, ends_at), *lost)

    def bring(self, span: S, source: Source, target: Target, context: Context, listener: SpanListener[S]) -> None:
        """Read what is left of ``span`` into ``target``; ``listener`` hears of every piece.

        Raises:
            BlobMissing: the store does not have the object.
            DamagedBytes: it has another size.
            ObjectReplaced: see there.
            StoreUnavailable, FetchTooSlow, FetchCancelled: as they say.
        """
        if source is Source.ORIGIN and self._lease is not None:
            self._lease.take()

        def read() -> None:
            with self.lock:
                self._watches[source].start(self._clock.monotonic())
            try:
                self._read(span, source, target, context, listener)
            finally:
                with self.lock:
                    self._watches[source].stop(self._clock.monotonic())

        retried(read, context, position=lambda: span.position)

    def _read(self, span: S, source: Source, target: Target, context: Context, listener: SpanListener[S]) -> None:
        store, at = self._stores[source], (source, span.key)
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
                self._drain(stream, span, source, target, context, listener)
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
        span: S,
        source: Source,
        target: Target,
        context: Context,
        listener: SpanListener[S],
    ) -> None:
        subject = f"{self._stores[source].name}/{span.key}"
        rate_limit = self._link.rate_limit if source is Source.ORIGIN else None
        watchdog = StallWatchdog(FLOOR_BYTES_PER_SECOND, FLOOR_AFTER_SECONDS, self._clock.monotonic())
        with self._buffers.one() as buffer:
            while span.left_bytes:
                block = _Block(span, target, buffer, listener, self._clock.monotonic())
                try:
                    while block.room:
                        context.check()
                        count = stream.readinto(block.room[: self._link.chunk_bytes(source)])  # our share changes
                        if count == 0:
                            raise StoreUnavailable("the object ended early", subject=subject)
                        with self.lock:
                            self.moved_bytes[source] += count
                        context.meter.moved(source, count)
                        now = self._clock.monotonic()
                        block.took(count, now)
                        if watchdog.is_below_floor(count, now):
                            raise StoreUnavailable("the link has all but stalled", subject=subject)
                        if rate_limit is not None:
                            watchdog.excuse(rate_limit.spend(count, context))
                finally:
                    block.save()  # what came before the link broke need not come again

    def expect(self, source: Source, key: str, etag: str) -> None:
        """Read on only if the object is still the one of ``etag``."""
        self._etags[source, key] = etag

    def etag(self, source: Source, key: str) -> str:
        """Of what is being read; "" before the first answer."""
        return self._etags.get((source, key), "")


class _Block(Generic[S]):
    """What is left of the block that a span is at, on its way through memory.

    Args:
        buffer: a block's memory.
        listener: hears of every piece, after it is written.
        now: any monotonic clock, in seconds.

    Attributes:
        room: for the bytes that come next.
    """

    def __init__(self, span: S, target: Target, buffer: memoryview, listener: SpanListener[S], now: float) -> None:
        self.room = buffer[: span.next_bytes]
        self._span = span
        self._target = target
        self._listener = listener
        self._unsaved = self.room
        self._unsaved_bytes = 0
        self._saved_at = now

    def took(self, count: int, now: float) -> None:
        """So many bytes came; they are written when it is time."""
        self.room = self.room[count:]
        self._unsaved_bytes += count
        if now - self._saved_at >= SAVE_SECONDS:
            self._saved_at = now
            self._save(self._unsaved_bytes)

    def save(self) -> None:
        """Write all that came."""
        self._save(self._unsaved_bytes)

    def _save(self, count: int) -> None:
        if count > 0:
            self._span.write(self._target, self._unsaved[:count])
            self._unsaved, self._unsaved_bytes = self._unsaved[count:], self._unsaved_bytes - count
            self._listener.came(self._span, count)
