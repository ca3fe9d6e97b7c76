"""A model's log as far as it was read, so that announcements are compared with it without a request to the store."""

import threading

from modelcast.infra.registry.reader import RegistryReader, Tail
from modelcast.infra.telemetry import metrics
from modelcast.schemas.log.chain import StatedEntry
from modelcast.schemas.log.fold import ModelLog


class RegistryLogReader:
    """One model's log. Blocking; thread-safe (calls wait for one another)."""

    def __init__(self, reader: RegistryReader, model: str) -> None:
        self._reader = reader
        self._model = model
        self._log: ModelLog | None = None
        self._unread = ""
        self._lock = threading.Lock()

    @property
    def log(self) -> ModelLog | None:
        """The fold; None: nothing was read yet."""
        return self._log

    @property
    def unread(self) -> str:
        """Why the log can't be read on; "": it can."""
        return self._unread

    def read(self, until: int) -> ModelLog:
        """Read on, at least to generation ``until`` if it exists and can be read; everything at the first call.

        A new entry proves by its digest that what was read before still stands.

        Raises:
            ForeignRegistry: the store contradicts what was read before.
            DecodeError: the entry that was read last can't be read any more.
            StoreUnavailable: the store did not answer.
        """
        with self._lock:
            log = self._log
            if log is not None and log.head >= until:
                return log
            with metrics.LOG_READ_SECONDS.time():
                tail = self._reader.read_on(self._model, log, until)
            return self._take(tail)

    def refresh(self) -> ModelLog:
        """Read all that is new, and prove that the newest entry read still stands. Raises like ``read``."""
        with self._lock:
            return self._take(self._reader.read_on(self._model, self._log))

    def refold(self) -> ModelLog:
        """Read everything anew, from entry 1, whatever was read before. Raises like ``read``."""
        with self._lock:
            return self._take(self._reader.tail(self._model, partial=True))

    def holds(self, stated: StatedEntry) -> bool:
        """Whether just these bytes stand in the log, as far as it was read. No request is made."""
        return self._log is not None and self._log.stands(stated)

    def contradiction(self, stated: StatedEntry) -> str | None:
        """Why an announced entry is not what stands in the log as far as it was read; None: it is. No I/O."""
        log, generation = self._log, stated.entry.generation
        if log is None or generation > log.head:
            return f"generation {generation} is not in the log"
        if log.stands(stated):
            return None
        if log.event_ids[generation - 1] != stated.entry.event_id:
            return f"the log holds event {log.event_ids[generation - 1]} at generation {generation}"
        return f"the log's entry {generation} has the same event id and another content"

    def _take(self, tail: Tail) -> ModelLog:
        self._log, self._unread = tail.log, str(tail.unread) if tail.unread else ""
        return tail.log
