"""How fast the links were: measured on real transfers, kept in memory."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from modelcast.consumers.fetch.planning.bandwidth import (
    Allowance,
    Estimate,
    LinkSpeeds,
    Sample,
    believed,
    sampled,
    typical,
)
from modelcast.consumers.fetch.planning.parts import part_blocks

SAMPLES = 8
LINK_BYTES_MIN = 1024 * 1024
"""Less says more about latency than about speed."""
_UNLIMITED = Allowance()


_GUESS = LinkSpeeds()


class Throughput:
    """The speeds of one process's links. Thread-safe.

    Args:
        clock: monotonic seconds.
        allowance: what may be taken of the long link now; asked before and after each transfer over it.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        allowance: Callable[[], Allowance] = lambda: _UNLIMITED,
    ) -> None:
        self._clock = clock
        self._allowance = allowance
        self._lock = threading.Lock()
        self._origin, self._region = _samples(), _samples()
        self._request_seconds: deque[float] = deque(maxlen=SAMPLES)
        self._running = 0
        self._since = 0.0
        self._bytes = 0
        self._allowed: list[Allowance] = []  # while the transfer runs

    def of_the_region(self) -> float:
        """What the long link gives the whole region, bytes a second, within its limit; 0: not known."""
        estimate = self._believed(self._allowance().limit_bytes_per_second)
        return estimate.bytes_per_second if estimate.measured else 0.0

    def speeds(self) -> LinkSpeeds:
        """What is known by now; guesses for the rest. Of the long link no more than what may be taken of it now."""
        allowance = self._allowance()
        origin = self._believed(
            allowance.bytes_per_second or allowance.limit_bytes_per_second
        )  # no share: for a moment
        with self._lock:
            requests = sorted(self._request_seconds)
            return LinkSpeeds(
                origin_bytes_per_second=origin.bytes_per_second,
                origin_request_seconds=requests[len(requests) // 2] if requests else _GUESS.origin_request_seconds,
                region_bytes_per_second=_speed(self._region, _GUESS.region_bytes_per_second),
                measured=origin.measured,
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
                self._since, self._bytes, self._allowed = self._clock(), 0, []
            self._allowed.append(self._allowance())
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1
                self._bytes += moved_bytes()
                self._allowed.append(self._allowance())
                seconds = self._clock() - self._since
                if not self._running and self._bytes >= LINK_BYTES_MIN and seconds > 0:
                    self._origin.append(sampled(self._bytes, seconds, self._allowed))

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
            if size_bytes >= LINK_BYTES_MIN and seconds > 0:
                self._region.append(sampled(size_bytes, seconds, ()))

    def _believed(self, allowed_bytes_per_second: float | None) -> Estimate:
        with self._lock:
            return believed(self._origin, allowed_bytes_per_second or None, _GUESS.origin_bytes_per_second)


def _samples() -> deque[Sample]:
    return deque(maxlen=SAMPLES)


def _speed(samples: deque[Sample], guess: float) -> float:
    return typical(samples) if samples else guess
