"""What arrives over Kafka: read, judged, folded; what can't be used goes to the dead letters. Never raises."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial

import structlog

from modelcast.agents.tracker.acks.reports import UNKNOWN_MODEL, Reports
from modelcast.agents.tracker.decider.announcements import FOREIGN
from modelcast.agents.tracker.decider.epochs import Epochs
from modelcast.agents.tracker.decider.heartbeats import Heartbeats
from modelcast.agents.tracker.decider.rows import Rows
from modelcast.agents.tracker.judging import Judging, Unusable
from modelcast.agents.tracker.log_watch import Announcement, LogWatch
from modelcast.agents.tracker.mirror import Mirror
from modelcast.agents.tracker.ports import ChangeListener, Message, Table, TrackerPorts
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.telemetry.metrics import RECORDS
from modelcast.schemas.codec import decode_as
from modelcast.schemas.errors import DecodeError, StoreUnavailable, UnknownSchema
from modelcast.schemas.log.statements import read_stated
from modelcast.schemas.probes import Probe, is_probe
from modelcast.schemas.records import RegionHeartbeat
from modelcast.schemas.topics import Topic

LEARNING_MAX = 1_000
"""Heartbeats that may wait for their schema."""
UNEXPECTED, BAD_KEY = "unexpected-error", "bad-key"
PROBE, PROBE_LATE = "probe", "probe-late"
OUTCOMES = (
    *("folded", "stale", "overtaken", "dead-letter", "set-aside", "unknown-region", UNKNOWN_MODEL),
    *(PROBE, PROBE_LATE),
)
AHEAD_RECORDS_MAX = 512
AHEAD_SECONDS = 0.005
"""How long Faust fetches undisturbed while a backlog is looked into."""

Take = Callable[[Message, Table], Awaitable[str]]
"""Takes a record; what became of it. Raises ``Unusable``."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A record of ``region-heartbeats``: its bytes, where it stood, and when it came, by Kafka's clock and by ours."""

    raw: bytes
    key: bytes | None
    offset: int
    appended_us: int
    live_at_us: int | None


class Intake:
    """Takes every record that arrives. It belongs to the event loop."""

    def __init__(
        self,
        reader: RegistryReader,
        rows: Rows,
        heartbeats: Heartbeats,
        epochs: Epochs,
        watch: LogWatch,
        ports: TrackerPorts,
        mirror: Mirror,
        changes: ChangeListener,
        listed: Iterable[str],
    ) -> None:
        self._reader, self._rows, self._heartbeats, self._watch = reader, rows, heartbeats, watch
        self._ports, self._mirror, self._changes = ports, mirror, changes
        self.judging = Judging(reader, rows, ports, mirror, changes, listed)
        self.schemas = self.judging.schemas
        self.take_answer: Take = _not_asked
        """Takes the answers to probes."""
        self.reports = Reports(self.judging, rows, epochs, watch, ports, changes)
        self._learning: set[asyncio.Task[None]] = set()
        self._outcomes = {
            (topic, outcome): RECORDS.labels(str(topic), outcome)
            for topic in (Topic.MODEL_ACKS, Topic.MODEL_UPDATES)
            for outcome in OUTCOMES
        }

    # --- records of the two topics --------------------------------------------------------------------------

    def fetched(self, records: Iterable[Message]) -> None:
        """Records were fetched and will come one after the other."""
        self.reports.fetched(records)

    async def look_ahead(self, message: Message) -> None:
        """In a backlog, let more records be fetched while nothing behind this one is known."""
        if not self.reports.is_last(message):
            return
        known, most = -1, self.reports.noted + AHEAD_RECORDS_MAX
        while known < self.reports.noted < most:
            known = self.reports.noted
            await asyncio.sleep(AHEAD_SECONDS)

    async def ack(self, message: Message, table: Table) -> None:
        """Take a record of ``model-acks``."""
        take = self.take_answer if is_probe(message.key) else self.reports.take
        await self._guarded(Topic.MODEL_ACKS, message, table, take)

    async def update(self, message: Message, table: Table) -> None:
        """Take a record of ``model-updates``."""
        await self._guarded(Topic.MODEL_UPDATES, message, table, self._probe if is_probe(message.key) else self._update)

    async def _probe(self, message: Message, _table: Table) -> str:
        """A tracker's, or made up: either is answered to who sent it, or is of no use."""
        probe = await self.judging.decoded(message.value or b"", partial(decode_as, Probe))
        key = (message.key or b"").decode()
        await self.judging.check_origin(probe.registry_id, key, str(Topic.MODEL_UPDATES), message.partition)
        return PROBE

    async def _guarded(self, topic: Topic, message: Message, table: Table, take: Take) -> None:
        """Take a record; no error of one may stop the stream."""
        try:
            outcome = await take(message, table)
        except Exception as error:
            if not isinstance(error, Unusable):
                log.exception("a record could not be handled", topic=str(topic), offset=message.offset)
            why = error if isinstance(error, Unusable) else Unusable(UNEXPECTED, repr(error)[:400])
            raw, where = message.value or b"", (message.partition, message.offset, message.key)
            self.judging.dead_letter(topic, raw, why, *where)
            outcome = "dead-letter"
        self._outcomes[topic, outcome].inc()

    async def _update(self, message: Message, table: Table) -> str:
        """Let an announcement wake the reading of its model's log, which then judges it."""
        stated = await self.judging.decoded(message.value or b"", read_stated)
        entry = stated.entry
        if message.key != entry.model.encode():
            raise Unusable(BAD_KEY, f"its key is not its model, {entry.model}")
        await self.judging.check_origin(entry.registry_id, entry.model, str(Topic.MODEL_UPDATES), message.partition)
        if not self._watch.check(Announcement(stated, message.key, message.partition, message.offset)):
            return UNKNOWN_MODEL
        self.reports.write(entry.model, table)
        return "folded"

    def refuse_announcement(self, announcement: Announcement, reason: str, detail: str) -> None:
        """Write a dead letter for an announcement that the log does not hold."""
        refused = Unusable(reason, detail)
        where = announcement.partition, announcement.offset, announcement.key
        self.judging.dead_letter(Topic.MODEL_UPDATES, announcement.raw, refused, *where)

    # --- partitions change hands ----------------------------------------------------------------------------

    def rebalanced(self) -> None:
        """Forget the records that waited: after a rebalance they may never come."""
        self.reports.rebalanced()

    def assigned(self) -> None:
        """Note that this worker owns other models now."""
        self.reports.assigned()

    def close(self) -> None:
        """Stop every lookup."""
        for task in self._learning:
            task.cancel()
        self.schemas.close()
        self.reports.close()

    # --- heartbeats -----------------------------------------------------------------------------------------

    def heartbeat(self, raw: bytes, key: bytes | None, offset: int, appended_us: int, live_at_us: int | None) -> None:
        """Take a record of ``region-heartbeats``; ``live_at_us`` is None for one that lay there before.

        A tombstone (``raw`` is empty) ends a worker; one of a region's bare name has all of the region forgotten, until
        a worker of it is heard again.
        """
        if not raw:
            self._withdrawn((key or b"").decode(errors="replace"), appended_us)
            return
        heard = Heartbeat(raw, key, offset, appended_us, live_at_us)
        try:
            self._beat(heard, decode_as(RegionHeartbeat, raw, book=self._reader.book))
        except UnknownSchema as unknown:
            if len(self._learning) < LEARNING_MAX:
                task = asyncio.get_running_loop().create_task(self._learn(heard))
                self._learning.add(task)
                task.add_done_callback(self._learning.discard)
            else:
                self._refuse_heartbeat(heard, unknown)
        except DecodeError as error:
            self._refuse_heartbeat(heard, error)

    async def _learn(self, heard: Heartbeat) -> None:
        try:
            book = self._reader.book
            beat = await self.schemas.decoding(lambda: decode_as(RegionHeartbeat, heard.raw, book=book))
            self._beat(heard, beat)
        except DecodeError as error:
            self._refuse_heartbeat(heard, error)
        except StoreUnavailable as error:
            log.warning("a heartbeat's schema can't be fetched now", error=error)

    def _refuse_heartbeat(self, heard: Heartbeat, error: DecodeError) -> None:
        if heard.live_at_us is not None:  # an old one went there when it came
            RECORDS.labels(str(Topic.REGION_HEARTBEATS), "dead-letter").inc()
            refused = Unusable(error.reason, error.message)
            self.judging.dead_letter(Topic.REGION_HEARTBEATS, heard.raw, refused, 0, heard.offset, heard.key)

    def _beat(self, heard: Heartbeat, beat: RegionHeartbeat) -> None:
        ours, forgotten = self.judging.registry_id, self.judging.forgotten
        if ours is not None and beat.registry_id != ours:
            raise DecodeError(f"registry {beat.registry_id}, ours is {ours}", reason=FOREIGN)
        if not self.judging.lists(beat.region):
            RECORDS.labels(str(Topic.REGION_HEARTBEATS), "unknown-region").inc()
            return
        if beat.region in forgotten:
            forgotten.discard(beat.region)
            log.warning("a region that was forgotten is back", region=beat.region)
            self._changes.leave_out(forgotten)
        RECORDS.labels(str(Topic.REGION_HEARTBEATS), "folded").inc()
        self._heartbeats.hear(beat, heard.raw, heard.appended_us, heard.live_at_us)
        age_us = self._ports.clock.wall_us() - heard.appended_us - self._heartbeats.ahead_us
        self._mirror.heartbeat(f"{beat.region}/{beat.worker}", heard.raw, heard.appended_us, age_us)

    def _withdrawn(self, name: str, appended_us: int) -> None:
        region, is_worker, _ = name.partition("/")
        if not region:
            return
        for each in [name] if is_worker else self._heartbeats.workers_of(region):
            self._mirror.heartbeat(each, b"", appended_us, 0)  # nothing that could be shown
            self._heartbeats.workers.pop(each, None)
        if is_worker:
            return
        log.warning("a person had the region forgotten", region=region)
        self._heartbeats.forget(region)
        if self.judging.lists(region):
            self.judging.forgotten.add(region)
        for row in self._rows.models.values():
            row.forget(region)
        self._changes.leave_out(self.judging.forgotten)


async def _not_asked(_message: Message, _table: Table) -> str:
    """This worker sends no probes."""
    return PROBE_LATE
