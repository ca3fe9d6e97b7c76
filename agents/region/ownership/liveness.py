"""Whether a worker may push another one out: only as long as it has reason to believe what it was assigned.

A process that slept, or that the cluster could not hear, may have lost its partitions without being told. Until it has
been assigned anew, or was awake and confirmed long enough to have learnt it, it takes no model from another worker.
"""

import asyncio
import time
from collections.abc import Callable

from modelcast.schemas.backoff import backoff_seconds

SLEPT_SECONDS = 6.0
"""The group gives a member up 8 s after its last heartbeat, and it sends one every 2 s."""
UNHEARD_BEATS, UNHEARD_SECONDS = 3, 3.0
"""Unconfirmed heartbeats, and seconds for their delivery, after which the cluster counts as unreachable."""
DOUBT_SECONDS = 15.0
"""Within this time a member of the group that is awake and heard has learnt what it lost."""
RECENT_SECONDS = 3.0
"""Seconds after waking, or after the cluster's first confirmation, in which what arrives was sent before the sleep."""
TICK_SECONDS = 1.0

YIELD_SECONDS_FIRST = 1.0


class Liveness:
    """When this process last ran and was last heard. ``stands`` is thread-safe, the rest belongs to the event loop.

    Args:
        heartbeat_seconds: how often something is sent that ``heard`` hears of.
        clock: monotonic seconds, also while the process is stopped.
    """

    def __init__(self, heartbeat_seconds: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._unheard_seconds = UNHEARD_BEATS * heartbeat_seconds + UNHEARD_SECONDS
        self._ticked_at = clock()
        self._heard_at: float | None = None  # None: nothing was sent yet
        self._woke_at = self._line_back_at = self._doubted_until = float("-inf")

    def stands(self) -> bool:
        """Whether this process still has its partitions, as far as it can know."""
        now = self._clock()
        awake = now - self._ticked_at <= SLEPT_SECONDS
        heard = self._heard_at is None or now - self._heard_at <= self._unheard_seconds
        return awake and heard and now >= self._doubted_until

    def ticked(self) -> None:
        """Note that the event loop runs."""
        now = self._clock()
        if now - self._ticked_at > SLEPT_SECONDS:
            self._woke_at = now
            self._doubted_until = now + DOUBT_SECONDS
        self._ticked_at = now

    def heard(self) -> None:
        """Note that the cluster has confirmed a record of this process."""
        now = self._clock()
        if self._heard_at is not None and now - self._heard_at > self._unheard_seconds:
            self._doubted_until = now + DOUBT_SECONDS
        if self._heard_at is not None and self._heard_at < self._woke_at:
            self._line_back_at = now
        self._heard_at = now

    def assigned(self) -> None:
        """Note that the group has assigned partitions to this worker."""
        self.ticked()
        now = self._clock()
        cut_off = self._heard_at is not None and self._heard_at < self._woke_at
        if cut_off or now - max(self._woke_at, self._line_back_at) < RECENT_SECONDS:
            return
        self._doubted_until = float("-inf")
        if self._heard_at is not None:
            self._heard_at = now

    async def tick(self) -> None:
        """Watch the event loop until cancelled."""
        while True:
            self.ticked()
            await asyncio.sleep(TICK_SECONDS)


def yield_seconds(times: int, most: float, chance: float) -> float:
    """Seconds that a replaced worker waits before it claims again: doubling, with jitter.

    Args:
        times: how often in a row it was replaced before.
        most: never longer, in seconds.
        chance: a random number from 0 to 1.
    """
    return backoff_seconds(YIELD_SECONDS_FIRST, times + 1, most) * (0.5 + chance / 2)
