"""Keeps the logs of owned models read, checks announcements against them, and announces entries that were not."""

import asyncio
from dataclasses import dataclass
from typing import Protocol

import structlog

from modelcast.agents.tracker.decider.announcements import FOREIGN, NOT_IN_LOG, objection, unannounced
from modelcast.agents.tracker.decider.rows import ModelRow, Rows
from modelcast.agents.tracker.decider.silence import Silence
from modelcast.agents.tracker.ports import TrackerPorts
from modelcast.infra.registry.newcomers import Newcomers
from modelcast.infra.registry.reader import RegistryReader, Tail
from modelcast.infra.registry.shared_listing import SharedListing
from modelcast.infra.telemetry.metrics import LOG_READ_SECONDS
from modelcast.schemas.errors import ForeignRegistry, ModelcastError, NotFound
from modelcast.schemas.log.chain import StatedEntry
from modelcast.schemas.records import Entry

READS_AT_ONCE = 8
RETRY_SECONDS = 2.0
GRACE_SECONDS = 4.0
"""Seconds that a publisher has for its own announcement, and the stream for bringing earlier ones."""
REGISTRY = ""
"""Stands for the list of all models, where a model's name stands for its log."""
PENDING_MAX, NEWCOMER_PENDING_MAX = 1_000, 32
"""Announcements that wait for the log of one model; of a model that may not exist, fewer."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Announcement:
    """An entry as it came over Kafka."""

    stated: StatedEntry
    key: bytes | None
    partition: int
    offset: int

    @property
    def entry(self) -> Entry:
        """The record."""
        return self.stated.entry

    @property
    def raw(self) -> bytes:
        """The bytes."""
        return self.stated.body


class LogFindings(Protocol):
    """Who hears what the logs tell."""

    def log_changed(self, model: str) -> None:
        """The log of a model has changed, or what is known of it."""
        ...

    def refuse(self, announcement: Announcement, reason: str, detail: str) -> None:
        """An announcement is not to be obeyed."""
        ...

    def announce(self, model: str, raw: bytes, generation: int) -> None:
        """An entry was not announced, of which these are the bytes."""
        ...

    def met(self, model: str) -> None:
        """A model that was named is one that the registry holds."""
        ...

    def unknown(self, model: str) -> None:
        """A model that was named is none that the registry holds."""
        ...


class LogWatch:
    """Reads logs in the threads of ``ports``; everything else happens on the event loop's thread."""

    def __init__(
        self, reader: RegistryReader, rows: Rows, findings: LogFindings, announce_seconds: float, ports: TrackerPorts
    ) -> None:
        self._reader, self._rows, self._findings = reader, rows, findings
        self._announce_seconds = announce_seconds
        self._threads, self._clock, self._rng = ports.stores, ports.clock, ports.rng
        self._wanted: dict[str, int] = {}
        self._reading: set[str] = set()
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._pending: dict[str, list[Announcement]] = {}
        self._noticed: dict[str, tuple[int, float]] = {}
        self._contradicted: set[str] = set()  # these logs are read anew from entry 1
        self._newcomers = Newcomers(SharedListing(reader.models, ports.stores), self)
        self._silence = Silence()
        self.alarm = ""

    # --- wishes -------------------------------------------------------------------------------------------

    def meet(self, model: str) -> asyncio.Future[None] | None:
        """Find out whether the registry holds a model that has no row.

        Returns:
            Done when that is known; None if too many wait to be known already.
        """
        return self._newcomers.ask(model)

    def wake(self, model: str, generation: int = 0) -> None:
        """Read the log of a model that has a row soon; at least up to ``generation`` if that exists."""
        known = self._wanted.get(model)
        self._wanted[model] = max(generation, known or 0)
        if known is None and model not in self._reading:
            self._queue.put_nowait(model)

    def check(self, announcement: Announcement) -> bool:
        """Compare an announcement with the log, now or when the log was read that far.

        Returns:
            False if its model is not known, and too many others are not, either: nothing becomes of it.
        """
        entry = announcement.entry
        row = self._rows.models.get(entry.model)
        if row is None and self.meet(entry.model) is None:
            return False
        if row is not None and row.log is not None and entry.generation <= row.log.head:
            self._judge(row, announcement)
            return True
        waiting = self._pending.setdefault(entry.model, [])
        waiting.append(announcement)
        del waiting[: -(NEWCOMER_PENDING_MAX if row is None else PENDING_MAX)]
        if row is not None:
            self.wake(entry.model, entry.generation)
        return True

    def found(self, model: str) -> None:
        """See ``AsksForModels``: the model gets a row."""
        if not self._rows.owns(model):
            self._pending.pop(model, None)
            return
        self._rows.row(model)
        self.wake(model, max((a.entry.generation for a in self._pending.get(model, ())), default=0))
        self._findings.met(model)

    def not_found(self, model: str) -> None:
        """See ``AsksForModels``."""
        self._refuse_pending(model, NOT_IN_LOG, "the registry has no such model")
        self._findings.unknown(model)

    async def read_now(self, models: set[str], timeout_seconds: float) -> None:
        """Read these logs and return when they were read, failed, or took too long."""
        for model in models:
            self.wake(model)
        deadline = self._clock.monotonic() + timeout_seconds
        while self._clock.monotonic() < deadline and any(  # noqa: ASYNC110  (a bounded wait for many small ends)
            m in self._wanted or m in self._reading for m in models
        ):
            await asyncio.sleep(0.01)

    # --- running ------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run until cancelled."""
        readers = [asyncio.create_task(self._read_forever()) for _ in range(READS_AT_ONCE)]
        try:
            while True:
                await self.list_registry()
                await asyncio.sleep(self._announce_seconds * self._rng.uniform(0.7, 1.1))
        finally:
            self._newcomers.close()
            for task in readers:
                task.cancel()

    async def list_registry(self) -> bool:
        """Look once for models and entries that were not announced; return whether the registry could be listed."""
        self._end_strangers()
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._threads, self._reader.read_registry_id)
            heads = await loop.run_in_executor(self._threads, self._reader.heads, self._rows.owns)
        except ForeignRegistry as error:
            self._silence.answered(REGISTRY)
            self._raise_alarm(str(error))
            return False
        except NotFound:  # nothing was ever published
            self._silence.answered(REGISTRY)
            self._raise_alarm("")
            return True
        except ModelcastError as error:
            log.warning("the registry can't be listed", error=error)
            if not error.retryable:
                self._silence.answered(REGISTRY)
                self._raise_alarm(f"the registry can't be read: {error}")
                await self._prove_all()
            elif not self.alarm and (since := self._unanswered(REGISTRY)):
                self._raise_alarm(f"the registry can't be listed since {since}: what came since then is not known")
            return False
        self._silence.answered(REGISTRY)
        self._raise_alarm("")
        for model, head in heads.items():
            if not self._rows.owns(model):
                continue
            row = self._rows.row(model)
            if row.log is None or row.log.head < head or model in self._contradicted:
                self.wake(model, head)
            else:
                self._notice(row)
        await self._prove_all()
        return True

    async def _prove_all(self) -> None:
        still = [row for row in self._rows.models.values() if row.log is not None and self._rows.owns(row.model)]
        await asyncio.gather(*(self._prove(row) for row in still))

    def _unanswered(self, question: str) -> str:
        return self._silence.unanswered(question, self._clock.monotonic(), self._clock.wall_us())

    def _end_strangers(self) -> None:
        for row in self._rows.models.values():
            if row.end_strangers(self._clock.monotonic()):
                self._findings.log_changed(row.model)

    async def _prove(self, row: ModelRow) -> None:
        """Find out whether the store still holds the newest entry read: also where nothing is new, or all is gone."""
        assert row.log is not None
        try:
            await asyncio.get_running_loop().run_in_executor(self._threads, self._reader.check_standing, row.log)
        except ForeignRegistry as error:
            self._contradicted.add(row.model)
            self._alarm(row, str(error))
            self.wake(row.model)
        except ModelcastError as error:
            if not error.retryable:
                self._alarm(row, f"the log can't be read: {error}")
        else:
            if row.alarm:  # it may be over
                self.wake(row.model)

    def _raise_alarm(self, text: str) -> None:
        if text == self.alarm:
            return
        if text:
            log.error("alarm", error=text)
        self.alarm = text
        for model in self._rows.models:
            self._findings.log_changed(model)

    async def _read_forever(self) -> None:
        while True:
            model = await self._queue.get()
            generation = self._wanted.pop(model, 0)
            self._reading.add(model)
            try:
                await self._read(model, generation)
            except Exception as error:  # one model's trouble is not the others'
                log.error("reading a log failed", model=model, error=repr(error))
            finally:
                self._reading.discard(model)
                if model in self._wanted and not self._has_read(model, self._wanted[model]):
                    self._queue.put_nowait(model)
                else:
                    self._wanted.pop(model, None)

    def _has_read(self, model: str, generation: int) -> bool:
        """Whether the log was read up to ``generation``; 0 asks for whatever is new."""
        row = self._rows.models.get(model)
        read = 0 if row is None or row.log is None else row.log.head
        return 0 < generation <= read and model not in self._pending

    async def _read(self, model: str, generation: int) -> None:
        if not self._rows.owns(model):
            self._pending.pop(model, None)
            self._silence.answered(model)
            return
        row = self._rows.row(model)
        began, accepted = self._clock.monotonic(), row.accepted()
        asked = {
            id(a) for a in self._pending.get(model, ())
        }  # what comes while the log is read may be above what is read
        try:
            tail = await asyncio.get_running_loop().run_in_executor(self._threads, self._tail, row, generation)
        except NotFound:
            tail = None  # no registry yet: whatever is announced is not in it
        except ForeignRegistry as error:
            self._silence.answered(model)
            self._contradicted.add(model)
            self._alarm(row, str(error))
            self._refuse_pending(model, FOREIGN, error.message)
            return
        except ModelcastError as error:
            if error.retryable:
                asyncio.get_running_loop().call_later(RETRY_SECONDS, self.wake, model, generation)
                if not row.alarm and (since := self._unanswered(model)):
                    self._alarm(row, f"the log can't be read since {since}: what came since then is not known")
            else:
                self._silence.answered(model)
                self._alarm(row, f"the log can't be read: {error}")
            log.warning("a log can't be read", model=model, error=error)
            return
        self._silence.answered(model)
        LOG_READ_SECONDS.observe(self._clock.monotonic() - began)
        trouble = f"the log can't be read on: {tail.unread}" if tail and tail.unread else ""
        if trouble:
            log.warning("a log can't be read on", model=model, error=tail and tail.unread)
        if tail is None or (tail.log.head == 0 and not trouble):
            later = [a for a in self._pending.get(model, ()) if id(a) not in asked]
            self._pending[model] = [a for a in self._pending.get(model, ()) if id(a) in asked]
            self._refuse_pending(model, NOT_IN_LOG, "the registry has no such model")
            self._wait_on(model, later)
            return
        news = bool(tail.new) or row.log is None
        row.read(tail.log, tail.times_us)
        self._contradicted.discard(model)
        news |= row.ended(accepted)
        if row.alarm != trouble:
            news, row.alarm = True, trouble
        waiting = self._pending.pop(model, [])
        above = [a for a in waiting if a.entry.generation > tail.log.head and (trouble or id(a) not in asked)]
        self._wait_on(model, above)
        for announcement in waiting:
            if announcement not in above:
                self._judge(row, announcement)
        self._notice(row)
        if news:
            self._findings.log_changed(model)

    def _tail(self, row: ModelRow, generation: int) -> Tail:
        if row.model in self._contradicted:
            return self._reader.tail(row.model, partial=True)
        return self._reader.read_on(row.model, row.log, generation)

    def _alarm(self, row: ModelRow, text: str) -> None:
        if row.alarm != text:
            log.error("alarm", model=row.model, error=text)
            row.alarm = text
            self._findings.log_changed(row.model)

    # --- announcements ------------------------------------------------------------------------------------

    def _judge(self, row: ModelRow, announcement: Announcement) -> None:
        assert row.log is not None
        reason = objection(row.log, announcement.stated)
        if reason:
            self._findings.refuse(announcement, reason, f"generation {announcement.entry.generation} of {row.model}")
        else:
            row.heard_announced(announcement.entry.generation)

    def _wait_on(self, model: str, announcements: list[Announcement]) -> None:
        """These are judged when the log was read again; whoever put them there has asked for that."""
        if announcements:
            self._pending[model] = announcements

    def _refuse_pending(self, model: str, reason: str, detail: str) -> None:
        for announcement in self._pending.pop(model, ()):
            self._findings.refuse(announcement, reason, detail)

    def _notice(self, row: ModelRow) -> None:
        """Announce entries that were not announced in their time of grace."""
        if row.log is None or row.alarm or not unannounced(row.log.head, row.announced):
            self._noticed.pop(row.model, None)
            return
        now = self._clock.monotonic()
        head, since = self._noticed.get(row.model, (0, now))
        if head == 0:
            self._noticed[row.model] = (row.log.head, now)
            asyncio.get_running_loop().call_later(GRACE_SECONDS + 0.05, self._notice_again, row.model)
        elif now - since >= GRACE_SECONDS:
            del self._noticed[row.model]
            asyncio.get_running_loop().create_task(self._announce(row, head))

    def _notice_again(self, model: str) -> None:
        row = self._rows.models.get(model)
        if row is not None and self._rows.owns(model):
            self._notice(row)

    async def _announce(self, row: ModelRow, head: int) -> None:
        for generation in unannounced(head, row.announced):
            try:
                timed = await asyncio.get_running_loop().run_in_executor(
                    self._threads, self._reader.entry, row.model, generation
                )
            except ModelcastError as error:
                log.warning("an entry can't be read to announce it", model=row.model, error=error)
                return
            if timed is None or row.log is None or not row.log.stands(timed.stated):
                return
            log.info("announced an entry that its publisher had not announced", model=row.model, generation=generation)
            row.heard_announced(generation)
            self._findings.announce(row.model, timed.body, generation)
