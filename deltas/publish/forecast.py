"""How large a delta will be and how long it takes, by how the last one of its kind turned out."""

import threading

ENCODE_BYTES_PER_SECOND = 200e6
"""Until one has been made here, on two cores."""
SPEED_FROM_BYTES = 4 * 1024 * 1024
"""Smaller files are made too soon to tell how fast."""
UNKNOWN_RATIO = 0.5
"""Of a delta whose base can't be sampled (it must be fetched first)."""


class DeltaForecast:
    """Remembers, for one publisher, how large deltas became and how fast they were made. Thread-safe."""

    def __init__(self) -> None:
        self._ratios: dict[tuple[str, int], float] = {}
        self._speed = ENCODE_BYTES_PER_SECOND
        self._lock = threading.Lock()

    def ratio(self, kind: tuple[str, int]) -> float | None:
        """Delta ÷ whole of the last one of a kind: model and how many versions back (0: a compressed whole)."""
        return self._ratios.get(kind)

    def seconds(self, size_bytes: int) -> float:
        """Time to make a delta of a file of that size."""
        return size_bytes / self._speed

    def learn(self, kind: tuple[str, int], new_bytes: int, delta_bytes: int, seconds: float) -> None:
        """One has been made."""
        with self._lock:
            self._ratios[kind] = delta_bytes / max(new_bytes, 1)
            if new_bytes >= SPEED_FROM_BYTES and seconds > 0:
                self._speed = 0.5 * self._speed + 0.5 * new_bytes / seconds
