"""How fast things went: measured on real transfers and rebuilds, kept in memory. Thread-safe."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from modelcast.consumers.fetch.costs import Speeds
from modelcast.consumers.fetch.plan import part_blocks

SAMPLES = 8
LINK_BYTES_MIN = 1024 * 1024
"""Less says more about latency than about speed."""
WORK_BYTES_MIN = 4 * 1024 * 1024
_GUESS = Speeds()


@dataclass(slots=True)
class _Samples:
    """The last few, weighted by their length: the harmonic mean of their speeds."""

    kept: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=SAMPLES))

    def add(self, size_bytes: int, seconds: float) -> None:
        if seconds > 0:
            self.kept.append((size_bytes, seconds))

    def speed(self, guess: float) -> float:
        if not self.kept:
            return guess
        return sum(size for size, _ in self.kept) / sum(seconds for _, seconds in self.kept)


class Gauge:
    """The speeds of one worker's links, disk and codecs.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._origin, self._region = _Samples(), _Samples()
        self._decode, self._unpack = _Samples(), _Samples()
        self._request_seconds: deque[float] = deque(maxlen=SAMPLES)
        self._running = 0
        self._since = 0.0
        self._bytes = 0

    def speeds(self) -> Speeds:
        """What is known by now; guesses for the rest."""
        with self._lock:
            requests = sorted(self._request_seconds)
            return Speeds(
                origin_bytes_per_second=self._origin.speed(_GUESS.origin_bytes_per_second),
                origin_request_seconds=requests[len(requests) // 2] if requests else _GUESS.origin_request_seconds,
                region_bytes_per_second=self._region.speed(_GUESS.region_bytes_per_second),
                decode_bytes_per_second=self._decode.speed(_GUESS.decode_bytes_per_second),
                unpack_bytes_per_second=self._unpack.speed(_GUESS.unpack_bytes_per_second),
                measured=bool(self._origin.kept),
            )

    @property
    def origin_bytes_per_second(self) -> float:
        """The long link's speed as measured last; 0: not measured."""
        speeds = self.speeds()
        return speeds.origin_bytes_per_second if speeds.measured else 0.0

    def part_blocks(self, readers: int) -> int:
        """How many blocks are asked for at once over the long link, at most."""
        speeds = self.speeds()
        return part_blocks(speeds.origin_bytes_per_second, speeds.origin_request_seconds, readers)

    @contextmanager
    def over_the_link(self, moved_bytes: Callable[[], int]) -> Iterator[None]:
        """A transfer from the origin. Those that overlap count as one: together they show what the link can do.

        Args:
            moved_bytes: what it has brought by the end.
        """
        with self._lock:
            if not self._running:
                self._since, self._bytes = self._clock(), 0
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1
                self._bytes += moved_bytes()
                if not self._running and self._bytes >= LINK_BYTES_MIN:
                    self._origin.add(self._bytes, self._clock() - self._since)

    @contextmanager
    def request(self) -> Iterator[None]:
        """A small request to the origin that succeeds."""
        started = self._clock()
        yield
        with self._lock:
            self._request_seconds.append(self._clock() - started)

    def from_the_region(self, size_bytes: int, seconds: float) -> None:
        """A transfer from the regional bucket."""
        with self._lock:
            if size_bytes >= LINK_BYTES_MIN:
                self._region.add(size_bytes, seconds)

    def rebuilt(self, size_bytes: int, seconds: float, *, has_base: bool) -> None:
        """A delta was applied."""
        with self._lock:
            if size_bytes >= WORK_BYTES_MIN:
                (self._decode if has_base else self._unpack).add(size_bytes, seconds)
