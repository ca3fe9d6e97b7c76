"""A limit on bytes per second that all transfers of a process share, and may be changed while they run."""

import threading
import time
from collections.abc import Callable

from modelcast.consumers.fetch.context import Context
from modelcast.consumers.fetch.planning.bandwidth import Allowance

BURST_SECONDS = 0.25
CHUNK_SECONDS = 0.1
CHUNK_BYTES_MIN = 4 * 1024
CHUNK_BYTES_MAX = 1024 * 1024
_POLL_SECONDS = 0.1


class TokenBucket:
    """Pure. What was spent too early is a debt: the next spender waits until it is paid.

    Args:
        bytes_per_second: how fast it fills; None: without limit.
        now: any monotonic clock, in seconds.
    """

    def __init__(self, bytes_per_second: float | None, now: float) -> None:
        self.bytes_per_second = bytes_per_second
        self._tokens = 0.0
        self._at = now

    def change(self, bytes_per_second: float | None, now: float) -> None:
        """Another rate from now on. A debt is paid at the new one."""
        self._fill(now)
        self.bytes_per_second = bytes_per_second
        if bytes_per_second is None:
            self._tokens = 0.0
        else:
            self._tokens = min(self._tokens, bytes_per_second * BURST_SECONDS)

    def spend(self, count: int, now: float) -> float:
        """Bytes that came; how many seconds to wait before reading on."""
        if self.bytes_per_second is None:
            return 0.0
        self._fill(now)
        self._tokens -= count
        if self._tokens >= 0:
            return 0.0
        return -self._tokens / self.bytes_per_second if self.bytes_per_second > 0 else _POLL_SECONDS

    def owed_seconds(self, now: float) -> float:
        """How long until nothing is owed, at the rate of now."""
        return self.spend(0, now)

    def _fill(self, now: float) -> None:
        if self.bytes_per_second is not None and now > self._at:
            gained = (now - self._at) * self.bytes_per_second
            self._tokens = min(self._tokens + gained, self.bytes_per_second * BURST_SECONDS)
        self._at = max(self._at, now)


class RateLimit:
    """What this process may read from the origin: the region's limit times our share of it. Thread-safe.

    Args:
        limit_bytes_per_second: of the whole region; None: as fast as it goes.
        share: our part of it, 0 to 1; asked often, so it must be quick.
    """

    def __init__(self, limit_bytes_per_second: float | None = None, share: Callable[[], float] = lambda: 1.0) -> None:
        self._limit = limit_bytes_per_second
        self._share = share
        self._lock = threading.Lock()
        self._bucket = TokenBucket(limit_bytes_per_second, time.monotonic())

    @property
    def limit_bytes_per_second(self) -> float | None:
        """Of the whole region."""
        return self._limit

    def allowance(self) -> Allowance:
        """What we may read now."""
        limit = self._limit
        return Allowance() if limit is None else Allowance(limit, self._share())

    def change(self, limit_bytes_per_second: float | None) -> None:
        """From now on, transfers under way included."""
        with self._lock:
            self._limit = limit_bytes_per_second

    def chunk_bytes(self) -> int:
        """How much to read at once, so that a low limit still lets bytes flow evenly."""
        limit = self._limit
        if limit is None:
            return CHUNK_BYTES_MAX
        return int(min(max(limit * self._share() * CHUNK_SECONDS, CHUNK_BYTES_MIN), CHUNK_BYTES_MAX))

    def spend(self, count: int, context: Context) -> float:
        """Count bytes that came, and wait as long as they were early; the seconds waited. ``context`` may end that."""
        if self._limit is None:
            return 0.0
        began = time.monotonic()
        with self._lock:
            self._refresh(began)
            wait = self._bucket.spend(count, began)
        while wait > 0:
            context.sleep(min(wait, _POLL_SECONDS))
            now = time.monotonic()
            with self._lock:
                self._refresh(now)
                wait = self._bucket.owed_seconds(now)
        return time.monotonic() - began

    def _refresh(self, now: float) -> None:
        rate = None if self._limit is None else self._limit * self._share()
        if rate != self._bucket.bytes_per_second:
            self._bucket.change(rate, now)
