"""Who did what to a model, and why: read from its registry log, once for each new head."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import structlog

from modelcast.dashboard.view.entries import EntryLine, chained, unreadable_line
from modelcast.infra.registry.configured import registry_of
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.settings import ORIGIN, Settings
from modelcast.schemas.errors import ContentError, ModelcastError
from modelcast.schemas.log.chain import StatedEntry

WAIT_SECONDS_MAX = 2.0
"""Seconds that a request waits for the store; a later answer serves the next request."""
AWAY_SECONDS = 30.0
LINES, READERS = 20, 5
MODELS_KEPT = 1000

log = structlog.get_logger(__name__)


class LogSource:
    """Reads the newest entries of logs. It belongs to one event loop; without an origin store it reads nothing.

    Args:
        settings: where the origin store is.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._reader: RegistryReader | None = None
        self._lines: dict[str, tuple[int, tuple[EntryLine, ...]]] = {}
        self._reading: dict[str, asyncio.Task[None]] = {}
        self._away_until = 0.0

    async def newest(self, model: str, head: int) -> tuple[EntryLine, ...]:
        """The newest entries up to ``head``, newest first; older ones, or none, where the store does not say."""
        known = self._lines.get(model)
        if known is not None and known[0] >= head:
            return known[1]
        if ORIGIN not in self._settings.stores or time.monotonic() < self._away_until:
            return known[1] if known else ()
        task = self._reading.get(model)
        if task is None:
            task = self._reading[model] = asyncio.create_task(self._read(model, head))
        await asyncio.wait({task}, timeout=WAIT_SECONDS_MAX)
        known = self._lines.get(model)
        return known[1] if known else ()

    async def _read(self, model: str, head: int) -> None:
        try:
            lines = await asyncio.to_thread(self._tail, model, head)
        except ModelcastError as error:
            log.info("a registry log can't be read", model=model, error=str(error))
            self._away_until = time.monotonic() + AWAY_SECONDS
        else:
            if len(self._lines) >= MODELS_KEPT:
                self._lines.pop(next(iter(self._lines)))
            self._lines[model] = (head, lines)
        finally:
            self._reading.pop(model, None)

    def _tail(self, model: str, head: int) -> tuple[EntryLine, ...]:
        reader = self._reader = self._reader or registry_of(self._settings)

        def read(generation: int) -> tuple[StatedEntry, int] | EntryLine:
            try:
                timed = reader.entry(model, generation)
            except ContentError as error:
                return unreadable_line(model, generation, error.message)
            if timed is None:
                return unreadable_line(model, generation, "it is gone, although the tracker has read it")
            return timed.stated, timed.last_modified_us

        oldest = max(1, head - LINES + 1)
        with ThreadPoolExecutor(READERS) as threads:  # one more than is shown: the oldest shown follows it
            found = list(threads.map(read, range(max(1, oldest - 1), head + 1)))
        return tuple(line for line in reversed(chained(found)) if line.generation >= oldest)
