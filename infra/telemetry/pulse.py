"""Whether a daemon's event loop turns and its stream app runs; and parts of a daemon that are started again."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

POLL_SECONDS = 0.05
STUCK_SECONDS = 30.0
RESTART_SECONDS = 1.0

log = structlog.get_logger(__name__)


class Pulse:
    """For ``HealthServer`` and ``run_app``."""

    def __init__(self) -> None:
        self.trouble = "the stream app is not running"
        self._at = time.monotonic()

    def on_state(self, trouble: str) -> None:
        """Note why the stream app does not run; "": it runs."""
        self.trouble = trouble

    def live(self) -> str:
        """Why the process should be killed; "": it should not."""
        stuck_seconds = time.monotonic() - self._at
        return f"the event loop is stuck for {stuck_seconds:.0f} s" if stuck_seconds > STUCK_SECONDS else ""

    async def beat(self) -> None:
        """Note that the event loop turns, until cancelled."""
        while True:
            self._at = time.monotonic()
            await asyncio.sleep(POLL_SECONDS)


async def run_forever(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """Run a background part of a daemon again whenever it fails."""
    while True:
        try:
            await run()
        except Exception as error:
            log.exception("a part of this daemon failed and is started again", part=name, error=repr(error))
        await asyncio.sleep(RESTART_SECONDS)
