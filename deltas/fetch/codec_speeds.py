"""How fast files were rebuilt: measured, kept in memory."""

import threading
from collections import deque

from modelcast.consumers.fetch import LinkSpeeds, Sample, sampled, typical
from modelcast.deltas.fetch.planning.costs import Speeds, delta_speeds

SAMPLES = 8
WORK_BYTES_MIN = 4 * 1024 * 1024
_GUESS = Speeds()


class CodecSpeeds:
    """The codec's on this machine. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._decode: deque[Sample] = deque(maxlen=SAMPLES)
        self._unpack: deque[Sample] = deque(maxlen=SAMPLES)

    def rebuilt(self, size_bytes: int, seconds: float, *, has_base: bool) -> None:
        """A delta was applied."""
        with self._lock:
            if size_bytes >= WORK_BYTES_MIN and seconds > 0:
                (self._decode if has_base else self._unpack).append(sampled(size_bytes, seconds, ()))

    def beside(self, link: LinkSpeeds) -> Speeds:
        """All speeds that ways are compared by."""
        with self._lock:
            return delta_speeds(
                link,
                _speed(self._decode, _GUESS.decode_bytes_per_second),
                _speed(self._unpack, _GUESS.unpack_bytes_per_second),
            )


def _speed(samples: deque[Sample], guess: float) -> float:
    return typical(samples) if samples else guess
