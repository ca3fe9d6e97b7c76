"""When a worker's disk will be full, by what was free at its last heartbeats."""

from collections import deque
from collections.abc import Mapping
from itertools import pairwise

from modelcast.dashboard.view.overview import Worker

SAMPLE_SECONDS = 30.0
SAMPLES = 120
"""An hour."""
SAMPLES_MIN = 10
"""In less than five minutes one fetch is taken for a trend."""
MONTH_SECONDS = 30 * 86400.0
"""What is further away is nothing to plan for."""


class DiskForecast:
    """What was free on each worker's disk in the last hour."""

    def __init__(self) -> None:
        self._free: dict[tuple[str, str], deque[int]] = {}
        self._next_at = 0.0

    def sample(self, workers: Mapping[str, tuple[Worker, ...]], now: float) -> None:
        """Note what is free, every ``SAMPLE_SECONDS``; workers that are gone are forgotten."""
        if now < self._next_at:
            return
        self._next_at = now + SAMPLE_SECONDS
        before, self._free = self._free, {}
        for region, those in workers.items():
            for each in those:
                key = (region, each.heartbeat.worker)
                kept = before.get(key) or deque(maxlen=SAMPLES)
                kept.append(each.heartbeat.disk_free_bytes)
                self._free[key] = kept

    def full_in_seconds(self, region: str, worker: str) -> float | None:
        """Seconds until it is full if it goes on so; None: it does not fill, or is not known for long enough."""
        free = self._free.get((region, worker), deque())
        if len(free) < SAMPLES_MIN:
            return None
        taken = sum(before - after for before, after in pairwise(free)) / (len(free) - 1) / SAMPLE_SECONDS
        seconds = free[-1] / taken if taken > 0 else MONTH_SECONDS
        return seconds if seconds < MONTH_SECONDS else None
