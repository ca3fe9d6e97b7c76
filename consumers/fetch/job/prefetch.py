"""What an announcement speaks of is asked for before the log was read: that saves a round trip over the long link.

An announcement is a hint, and it causes nothing but a request: a manifest proves itself by its digest, and it is
used only if the log names it, too. What is not taken is forgotten soon, and only so much is asked for at once.
"""

import threading
import time
from collections.abc import Callable

from modelcast.consumers.fetch.transfer.early import started
from modelcast.schemas.manifest import Manifest

KEPT_MAX = 8
KEPT_SECONDS = 10.0

Asked = Callable[[], Manifest | None]
"""Waits for a manifest; None: it did not come."""


class Prefetch:
    """What one process has asked for in advance, by manifest digest. Thread-safe.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._running = 0
        self._kept: dict[str, tuple[float, Asked]] = {}

    def begin(self, manifest_digest: str, read: Callable[[], Manifest]) -> bool:
        """Ask for an artifact's manifest; False: there is enough to wait for already."""
        now = self._clock()
        with self._lock:
            self._kept = {d: kept for d, kept in self._kept.items() if now - kept[0] < KEPT_SECONDS}
            if manifest_digest in self._kept or max(len(self._kept), self._running) >= KEPT_MAX:
                return False
            self._running += 1
            self._kept[manifest_digest] = (now, started(self._counted(read), KEPT_SECONDS))
            return True

    def _counted(self, read: Callable[[], Manifest]) -> Callable[[], Manifest]:
        """Requests that are not waited for any more still run to their end."""

        def run() -> Manifest:
            try:
                return read()
            finally:
                with self._lock:
                    self._running -= 1

        return run

    def take(self, manifest_digest: str) -> Asked | None:
        """What was asked for, once."""
        with self._lock:
            since, asked = self._kept.pop(manifest_digest, (0.0, None))
        return asked if asked is not None and self._clock() - since < KEPT_SECONDS else None
