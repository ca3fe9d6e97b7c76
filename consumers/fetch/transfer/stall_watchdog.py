"""How fast bytes come, judged by the caller's clock: a link that only trickles is given up for a new one. Pure."""


class StallWatchdog:
    """Bytes per window of time.

    Args:
        floor_bytes_per_second: less than this is no link.
        window_seconds: how long it may be less.
        now: any monotonic clock, in seconds.
    """

    def __init__(self, floor_bytes_per_second: float, window_seconds: float, now: float) -> None:
        self._floor = floor_bytes_per_second
        self._window = window_seconds
        self._since = now
        self._bytes = 0

    def is_below_floor(self, count: int, now: float) -> bool:
        """Count further bytes; whether a whole window brought too few."""
        self._bytes += count
        seconds = now - self._since
        if seconds < self._window:
            return False
        slow = self._bytes < self._floor * seconds
        self._since = now
        self._bytes = 0
        return slow

    def excuse(self, seconds: float) -> None:
        """Leave out ``seconds`` in which this process itself did not read."""
        self._since += seconds


class Stopwatch:
    """Seconds during which at least one of several threads was at it; its callers hold a lock."""

    def __init__(self) -> None:
        self._running = 0
        self._since = 0.0
        self._seconds = 0.0

    def start(self, now: float) -> None:
        """One more is at it."""
        if self._running == 0:
            self._since = now
        self._running += 1

    def stop(self, now: float) -> None:
        """One fewer."""
        self._running -= 1
        if self._running == 0:
            self._seconds += now - self._since

    def seconds(self, now: float) -> float:
        """So far."""
        return self._seconds + (now - self._since if self._running else 0.0)
