"""A store that times out is not asked for a while: callers that wait for it would hold threads that others need.

Only time-outs count: a quick refusal holds no thread.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from modelcast.schemas.backoff import backoff_seconds
from modelcast.schemas.errors import StoreUnavailable
from modelcast.schemas.ports import ByteStream, ObjectInfo, ObjectStore, Progress, Ready, StoredObject

SLOW_SECONDS = 2.5
"""Seconds from which on a failure counts as a time-out."""
FAILURES_MAX = 3
"""Time-outs in a row after which the store is not asked for a while."""
PAUSE_SECONDS_FIRST, PAUSE_SECONDS_MAX = 1.0, 15.0


class Breaker:
    """When not to ask. Thread-safe.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._until = float("-inf")
        self._lock = threading.Lock()

    def enter(self) -> float:
        """The time at which a call begins; when a pause is over, one call tries while others are still refused.

        Raises:
            StoreUnavailable: the store is left alone for now.
        """
        with self._lock:
            now = self._clock()
            if self._failures >= FAILURES_MAX:
                if now < self._until:
                    left = self._until - now
                    raise StoreUnavailable(
                        f"the store timed out {self._failures} times in a row; it is asked again in {left:.0f} s",
                        hint="is it slow or down, or the network to it?",
                    )
                self._until = now + PAUSE_SECONDS_MAX  # this call's answer, or the end of this pause, lets others in
            return now

    def answered(self) -> None:
        """The store answered."""
        with self._lock:
            self._failures = 0

    def failed(self, began: float) -> None:
        """A call that began then did not get an answer."""
        with self._lock:
            now = self._clock()
            if now - began < SLOW_SECONDS:
                return
            self._failures += 1
            trips = self._failures - FAILURES_MAX + 1
            self._until = now + backoff_seconds(PAUSE_SECONDS_FIRST, trips, PAUSE_SECONDS_MAX)


class BreakerStore:
    """An ``ObjectStore`` behind a breaker. Transfers (``open``, ``upload``) are watched by those who make them."""

    def __init__(self, store: ObjectStore, breaker: Breaker | None = None) -> None:
        self._store, self._breaker = store, breaker or Breaker()

    @property
    def name(self) -> str:
        """See ``ObjectStore``."""
        return self._store.name

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        began = self._breaker.enter()
        try:
            yield
        except StoreUnavailable:
            self._breaker.failed(began)
            raise
        except Exception:
            self._breaker.answered()  # a refusal is an answer
            raise
        self._breaker.answered()

    def get(self, key: str, *, size_max: int) -> StoredObject | None:
        """See ``ObjectStore``."""
        with self._guarded():
            return self._store.get(key, size_max=size_max)

    def head(self, key: str) -> ObjectInfo | None:
        """See ``ObjectStore``."""
        with self._guarded():
            return self._store.head(key)

    def put(self, key: str, body: bytes, *, if_absent: bool = False, if_match: str | None = None) -> ObjectInfo:
        """See ``ObjectStore``."""
        with self._guarded():
            return self._store.put(key, body, if_absent=if_absent, if_match=if_match)

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectInfo]:
        """See ``ObjectStore``."""
        with self._guarded():
            yield from self._store.list(prefix, start_after=start_after)

    def folders(self, prefix: str) -> Iterator[str]:
        """See ``ObjectStore``."""
        with self._guarded():
            yield from self._store.folders(prefix)

    def delete(self, key: str) -> None:
        """See ``ObjectStore``."""
        with self._guarded():
            self._store.delete(key)

    def open(
        self, key: str, *, start: int = 0, length: int | None = None, etag: str | None = None
    ) -> AbstractContextManager[ByteStream]:
        """See ``ObjectStore``."""
        return self._store.open(key, start=start, length=length, etag=etag)

    def upload(
        self,
        key: str,
        path: Path,
        *,
        size_bytes: int,
        digest: str,
        progress: Progress | None = None,
        ready: Ready | None = None,
    ) -> None:
        """See ``ObjectStore``."""
        self._store.upload(key, path, size_bytes=size_bytes, digest=digest, progress=progress, ready=ready)
