"""What arrives over Kafka: read, judged, folded; what can't be used goes to the dead letters. Never raises."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Set
from dataclasses import dataclass
from typing import TypeVar

import structlog

from modelcast.agents.tracker.backlog import Backlog
from modelcast.agents.tracker.decider.announcements import FOREIGN
from modelcast.agents.tracker.decider.epochs import Epochs, SetAside
from modelcast.agents.tracker.decider.heartbeats import Heartbeats
from modelcast.agents.tracker.decider.rows import Rows, announced_key
from modelcast.agents.tracker.epoch_proofs import EpochProofs
from modelcast.agents.tracker.log_watch import Announcement, LogWatch
from modelcast.agents.tracker.mirror import Mirror
from modelcast.agents.tracker.ports import Message, Table, TrackerPorts
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.registry.schema_lookup import SchemaLookup
from modelcast.infra.telemetry.metrics import FOLDED_PODS, RECORDS
from modelcast.schemas.ack_headers import AckHeaders
from modelcast.schemas.codec import decode, decode_as
from modelcast.schemas.errors import DecodeError, ModelcastError, NotFound, StoreUnavailable, UnknownSchema
from modelcast.schemas.log.statements import read_stated
from modelcast.schemas.records import ModelAck, RegionHeartbeat
from modelcast.schemas.topics import Topic, partition_of

LEARNING_MAX = 1_000
"""Heartbeats that may wait for their schema."""
WRONG_PARTITION, EMPTY, UNEXPECTED = "wrong-partition", "empty", "unexpected-error"
UNKNOWN_SCHEMA, BAD_KEY = "unknown-schema", "bad-key"
HEADERS_DIFFER, UNKNOWN_REGION, REFUSED_EPOCH = "headers-differ", "unknown-region", "refused-epoch"
TELL_AGAIN_SECONDS = 600.0
"""Seconds between two dead letters about the same kind of record, which a writer could send in any number."""
AHEAD_RECORDS_MAX = 512
AHEAD_SECONDS = 0.005
"""How long Faust fetches undisturbed while a backlog is looked into."""

log = structlog.get_logger(__name__)


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A record of ``region-heartbeats``: its bytes, where it stood, and when it came, by Kafka's clock and by ours."""

    raw: bytes
    key: bytes | None
    offset: int
    appended_us: int
    live_at_us: int | None


class Unusable(Exception):
    """A message can't be used: it goes to the dead letters with this reason."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


class Intake:
    """The judge of everything that arrives. For the event loop's thread."""

    def __init__(
        self,
        reader: RegistryReader,
        rows: Rows,
        heartbeats: Heartbeats,
        watch: LogWatch,
        ports: TrackerPorts,
        mirror: Mirror,
        changed: Callable[[str], None],
        listed: Iterable[str],
        left_out: Callable[[Set[str]], None],
    ) -> None:
        self._reader, self._rows, self._heartbeats = reader, rows, heartbeats
        self._watch, self._ports, self._mirror, self._changed = watch, ports, mirror, changed
        self._registry_id: str | None = None
        self._listed = frozenset(listed)
        self._forgotten: set[str] = set()
        self._left_out = left_out
        self._told_at: dict[str, float] = {}
        self._epochs = Epochs()
        self._proofs = EpochProofs(rows, self._epochs, ports, self._take_proven, self._refuse_epoch, changed)
        self.schemas = SchemaLookup(reader.learn_schema, ports.clock.monotonic, threads=ports.schemas)
        self._learning: set[asyncio.Task[None]] = set()
        self._partitions: dict[str, int] = {}  # of models met: hashing costs more than looking up
        self._outcomes = {
            (topic, outcome): RECORDS.labels(str(topic), outcome)
            for topic in (Topic.MODEL_ACKS, Topic.MODEL_UPDATES)
            for outcome in ("folded", "stale", "overtaken", "dead-letter", "set-aside", "unknown-region")
        }
        self._backlog = Backlog()

    def fetched(self, records: Iterable[Message]) -> None:
        """Records were fetched and will come one after the other."""
        for record in records:
            if record.topic == Topic.MODEL_ACKS:
                self._backlog.fetched(record.partition, record.offset, AckHeaders.read(record.headers))

    async def look_ahead(self, message: Message) -> None:
        """In a backlog: where nothing behind this record is known yet, let more be fetched while more comes."""
        backlog = self._backlog
        if not backlog.is_last(message.partition, message.offset):
            return
        known, most = -1, backlog.noted + AHEAD_RECORDS_MAX
        while known < backlog.noted < most:
            known = backlog.noted
            await asyncio.sleep(AHEAD_SECONDS)

    async def ack(self, message: Message, table: Table) -> None:
        """Take a record of ``model-acks``."""
        await self._guarded(Topic.MODEL_ACKS, message, table, self._ack)

    def rebalanced(self) -> None:
        """What waited may never come."""
        self._backlog = Backlog()

    def assigned(self) -> None:
        """Other models are ours now; what a table held of them was borne out before, but for regions not listed."""
        self._epochs.keep(self._rows.models)
        for row in self._rows.models.values():
            for region in tuple(row.regions):
                if region in self._listed - self._forgotten:
                    self._epochs.trust(row.model, region, row.epoch(region))
                else:
                    row.forget(region)

    async def update(self, message: Message, table: Table) -> None:
        """Take a record of ``model-updates``."""
        await self._guarded(Topic.MODEL_UPDATES, message, table, self._update)

    async def _guarded(
        self,
        topic: Topic,
        message: Message,
        table: Table,
        take: Callable[[Message, Table], Awaitable[str]],
    ) -> None:
        """Nothing that arrives may stop the stream."""
        try:
            outcome = await take(message, table)
        except Exception as error:
            if not isinstance(error, Unusable):
                log.exception("a record could not be handled", topic=str(topic), offset=message.offset)
            why = error if isinstance(error, Unusable) else Unusable(UNEXPECTED, repr(error)[:400])
            self._dead_letter(topic, message.value or b"", why, message.partition, message.offset, message.key)
            outcome = "dead-letter"
        self._outcomes[topic, outcome].inc()

    async def _ack(self, message: Message, table: Table) -> str:
        """Fold one page of a snapshot, unless a newer one follows at once."""
        raw, partition, headers = message.value or b"", message.partition, AckHeaders.read(message.headers)
        ours = self._registry_id or ""
        if headers is not None and self._backlog.overtaken(partition, raw, headers, ours, message.offset):
            FOLDED_PODS.inc(headers.pods)
            return "overtaken"
        try:
            outcome = await self._fold(raw, headers, message, table)
        except Unusable:
            await self._fold_overtaken(headers, message, table)
            raise
        if outcome == "set-aside":
            await self._fold_overtaken(headers, message, table)
        elif headers is not None:
            self._backlog.read(partition, headers)
        return outcome

    async def _fold_overtaken(self, headers: AckHeaders | None, message: Message, table: Table) -> None:
        """Fold what a record overtook that can't be used, or not yet."""
        if (earlier := self._backlog.in_place_of(message.partition, headers)) is not None:
            await self._fold(earlier.raw, earlier.headers, message, table)

    async def _fold(self, raw: bytes, headers: AckHeaders | None, message: Message, table: Table) -> str:
        partition = message.partition
        ack = await self._decoded(raw, decode)
        if not isinstance(ack, ModelAck):
            raise Unusable("bad-value", f"a {type(ack).__name__} where a ModelAck belongs")
        if headers is not None and headers != AckHeaders.of(ack):
            raise Unusable(HEADERS_DIFFER, f"the headers say {headers}")
        if not self._is_listed(ack.region, raw, message):
            return "unknown-region"
        await self._check_origin(ack.registry_id, ack.model, ack.region, partition)
        if not self._epochs.is_borne_out(ack.model, ack.region, ack.epoch):
            await self._set_aside(SetAside(ack, raw, partition, message.offset, message.key))
            self._write(ack.model, table)
            return "set-aside"
        outcome = self._take(ack, raw)
        self._write(ack.model, table)
        return outcome

    def _write(self, model: str, table: Table) -> None:
        """What was taken since the last record of the model's partition, and with this one."""
        row = self._rows.row(model)
        for key, value in row.unwritten.items():
            if value is None:
                table.pop(key, b"")
            else:
                table[key] = value
        row.unwritten.clear()

    def _take(self, ack: ModelAck, raw: bytes) -> str:
        row = self._rows.row(ack.model)
        if ack.epoch < row.epoch(ack.region):
            self._proofs.doubt(ack.model, ack.region)
        change = row.take(ack, raw)
        if row.log is None or ack.generation > row.log.head:
            self._watch.wake(ack.model, ack.generation)
        if change.write is None:
            return "stale"
        FOLDED_PODS.inc(len(ack.pods))
        if change.completed:
            self._changed(ack.model)
        return "folded"

    async def _set_aside(self, page: SetAside) -> None:
        """Until the region's own state has borne its epoch out; a quick answer is waited for, now and then."""
        if (given_up := self._epochs.set_aside(page)) is not None:
            self._refuse_epoch(given_up, None)
        await self._proofs.ask_and_wait(page.ack.model, page.ack.region)

    def _take_proven(self, page: SetAside) -> None:
        self._take(page.ack, page.raw)

    def _refuse_epoch(self, page: SetAside, epoch: int | None) -> None:
        """The region never had this epoch. One letter a while tells of it, the rest is counted."""
        RECORDS.labels(str(Topic.MODEL_ACKS), "refused-epoch").inc()
        if self._may_tell(REFUSED_EPOCH):
            why = f"{page.ack.region} is at epoch {epoch} of {page.ack.model}" if epoch is not None else "too many wait"
            refused = Unusable(REFUSED_EPOCH, f"epoch {page.ack.epoch}: {why}; others like it are only counted")
            self._dead_letter(Topic.MODEL_ACKS, page.raw, refused, page.partition, page.offset, page.key)

    def _is_listed(self, region: str, raw: bytes, message: Message) -> bool:
        """Whether the settings list the region. One letter a while tells of others, the rest is counted."""
        if region in self._listed:
            return region not in self._forgotten
        if self._may_tell(UNKNOWN_REGION):
            detail = (
                f"the settings list no region {region[:80]!r}: add [regions.{region[:40]}]; others are only counted"
            )
            refused = Unusable(UNKNOWN_REGION, detail)
            self._dead_letter(Topic(message.topic), raw, refused, message.partition, message.offset, message.key)
        return False

    def _may_tell(self, reason: str) -> bool:
        now = self._ports.clock.monotonic()
        if now - self._told_at.get(reason, float("-inf")) < TELL_AGAIN_SECONDS:
            return False
        self._told_at[reason] = now
        return True

    async def _update(self, message: Message, table: Table) -> str:
        """Let an announcement wake the reading of its model's log, which then judges it."""
        raw = message.value or b""
        stated = await self._decoded(raw, read_stated)
        entry = stated.entry
        if message.key != entry.model.encode():
            raise Unusable(BAD_KEY, f"its key is not its model, {entry.model}")
        await self._check_origin(entry.registry_id, entry.model, str(Topic.MODEL_UPDATES), message.partition)
        if self._rows.row(entry.model).heard_announced(entry.generation):
            table[announced_key(entry.model)] = str(entry.generation).encode()
        self._watch.check(Announcement(stated, message.key, message.partition, message.offset))
        return "folded"

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
            self._dead_letter(Topic.REGION_HEARTBEATS, heard.raw, refused, 0, heard.offset, heard.key)

    def _beat(self, heard: Heartbeat, beat: RegionHeartbeat) -> None:
        if self._registry_id is not None and beat.registry_id != self._registry_id:
            raise DecodeError(f"registry {beat.registry_id}, ours is {self._registry_id}", reason=FOREIGN)
        if beat.region not in self._listed:
            RECORDS.labels(str(Topic.REGION_HEARTBEATS), "unknown-region").inc()
            return
        if beat.region in self._forgotten:
            self._forgotten.discard(beat.region)
            log.warning("a region that was forgotten is back", region=beat.region)
            self._left_out(self._forgotten)
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
        self._forgotten.add(region)
        for row in self._rows.models.values():
            row.forget(region)
        self._left_out(self._forgotten)

    def close(self) -> None:
        """Look nothing up any more."""
        for task in self._learning:
            task.cancel()
        self.schemas.close()
        self._proofs.close()

    def refuse_announcement(self, announcement: Announcement, reason: str, detail: str) -> None:
        """The log does not bear an announcement out."""
        refused = Unusable(reason, detail)
        where = announcement.partition, announcement.offset, announcement.key
        self._dead_letter(Topic.MODEL_UPDATES, announcement.raw, refused, *where)

    def _dead_letter(
        self, topic: Topic, raw: bytes, refused: Unusable, partition: int, offset: int, key: bytes | None
    ) -> None:
        """Put what can't be used where people find it."""
        self._ports.sender.dead_letter(
            raw,
            reason=refused.reason,
            detail=refused.detail,
            topic=str(topic),
            partition=partition,
            offset=offset,
            key=key,
        )

    # --- judging ------------------------------------------------------------------------------------------

    async def _decoded(self, raw: bytes, read: Callable[..., T]) -> T:
        if not raw:
            raise Unusable(EMPTY, "a record without a value")
        try:
            return await self.schemas.decoding(lambda: read(raw, book=self._reader.book))
        except DecodeError as error:
            raise Unusable(error.reason, error.message) from None
        except StoreUnavailable as error:
            raise Unusable(UNKNOWN_SCHEMA, f"its schema can't be fetched now: {error}") from None

    async def _check_origin(self, registry_id: str, model: str, source: str, partition: int) -> None:
        if self._partitions.get(model) != partition:
            if partition_of(model) != partition:
                raise Unusable(WRONG_PARTITION, f"{model} belongs into partition {partition_of(model)}: murmur2_random")
            self._partitions[model] = partition
        ours = self._registry_id or await self._read_registry_id()
        row = self._rows.models.get(model)
        if registry_id != ours:
            if row is not None:
                row.strangers[source] = f"{source} reports for another registry ({registry_id[:40]})"
                self._changed(model)
            raise Unusable(FOREIGN, f"registry {registry_id}, ours is {ours}")
        if row is not None and row.strangers.pop(source, ""):
            self._changed(model)

    async def _read_registry_id(self) -> str | None:
        """Our registry's id; None if there is none yet. Waits for the store: nothing can be judged without it."""
        told = False
        while True:
            try:
                self._registry_id = await asyncio.get_running_loop().run_in_executor(
                    self._ports.stores, self._reader.registry_id
                )
            except NotFound:
                return None
            except ModelcastError as error:
                if not error.retryable:
                    raise
                if not told:
                    log.warning("waiting for the origin store", error=error)
                told = True
                await asyncio.sleep(1.0)
            else:
                self._mirror.open(self._registry_id)
                return self._registry_id
