"""One worker of the tracker: its parts, and what it does when its partitions change."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import TypeVar

import structlog

from modelcast.agents.tracker.decider.epochs import Epochs
from modelcast.agents.tracker.decider.heartbeats import Heartbeats
from modelcast.agents.tracker.decider.reading import ReadProgress
from modelcast.agents.tracker.decider.rows import Rows, parse_announced_key, parse_page_key
from modelcast.agents.tracker.decider.snapshots import Place
from modelcast.agents.tracker.emitter import Emitter
from modelcast.agents.tracker.intake import Intake
from modelcast.agents.tracker.log_watch import Announcement, LogWatch
from modelcast.agents.tracker.mirror import Mirror
from modelcast.agents.tracker.ports import Message, Table, TrackerPorts
from modelcast.agents.tracker.prober import Prober
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.settings import Settings
from modelcast.infra.telemetry.metrics import ANNOUNCEMENTS
from modelcast.schemas.codec import decode_as
from modelcast.schemas.errors import ModelcastError
from modelcast.schemas.records import ModelAck, VersionState
from modelcast.schemas.topics import Topic, partition_of
from modelcast.schemas.unchanged import StatesUnchanged, is_unchanged, renewed

SETTLE_SECONDS_MAX = 10.0
ROWS_AT_ONCE = 64
LOG_NEWS_SECONDS = 0.03
"""Seconds for which news of a log wait: most often the regions' reports on them follow at once."""
DEAR_BYTES = 4096
"""Reading records from this size on costs so much that looking ahead is worth more."""
BEHIND_RECORDS, BEHIND_DEAR_RECORDS = 32, 4
"""Records behind the partition's end from which on a record belongs to a backlog."""

R = TypeVar("R", ModelAck, VersionState, StatesUnchanged)
Run = Callable[[], Awaitable[None]]

log = structlog.get_logger(__name__)


class TrackerAgent:
    """A worker's parts, wired. It belongs to one event loop; ``parts`` run beside the streams.

    Args:
        settings: which regions are expected, and the tracker's pace.
        reader: the registry.
        worker: this worker's name.
        ports: the world.
    """

    def __init__(self, settings: Settings, reader: RegistryReader, worker: str, ports: TrackerPorts) -> None:
        self._reader, self._ports = reader, ports
        self.rows, epochs, heartbeats = Rows(), Epochs(), Heartbeats()
        self.reading = ReadProgress(epochs)
        self.mirror = Mirror(ports, worker, self._view_is_back, self._missing_in_view)
        self.watch = LogWatch(reader, self.rows, self, settings.tracker.announce_seconds, ports)
        self.emitter = Emitter(settings, self.rows, heartbeats, self.reading, ports, self.mirror, self.watch)
        self.intake = Intake(
            reader,
            self.rows,
            heartbeats,
            epochs,
            self.watch,
            ports,
            self.mirror,
            self.emitter,
            settings.regions,
        )
        self._prober: Prober | None = None
        if settings.tracker.probe_seconds:
            self._prober = Prober(
                settings.tracker, worker, reader, self.intake.judging, heartbeats, ports, self.emitter
            )
            self.intake.take_answer = self._prober.take
        self._settling: asyncio.Task[None] | None = None
        self._assignment = 0
        self._restoring = False
        self._heartbeats_read = asyncio.Event()

    @property
    def parts(self) -> dict[str, Run]:
        """What runs beside the streams until cancelled, by name."""
        found: dict[str, Run] = {"log watch": self.watch.run, "emitter": self.emitter.run, "mirror": self.mirror.run}
        return found if self._prober is None else found | {"prober": self._prober.run}

    async def close(self, timeout_seconds: float) -> None:
        """Write what is left to the view, for at most ``timeout_seconds``; look nothing up any more."""
        self.intake.close()
        await self.mirror.close(timeout_seconds)

    # --- what Kafka brings ----------------------------------------------------------------------------------

    def begins_anew(self) -> None:
        """Note that a new stream app is made: no partition is assigned."""
        self.revoked()
        self.rows.reassign(frozenset())

    async def ack(self, message: Message, highwater: int, table: Table) -> None:
        """Take a record of ``model-acks``; its partition ends at ``highwater``."""
        behind = BEHIND_DEAR_RECORDS if len(message.value or b"") >= DEAR_BYTES else BEHIND_RECORDS
        if highwater - message.offset > behind:
            await self.intake.look_ahead(message)
        self.reading.begins(message.partition, int(message.timestamp * 1_000_000))
        await self.intake.ack(message, table)
        self.reading.ends(message.partition, at_the_end=message.offset + 1 >= highwater)

    def heartbeats_are_read(self) -> None:
        """All heartbeats that lay in the topic were heard: who is not among them is silent."""
        self._heartbeats_read.set()

    def revoked(self) -> None:
        """Publish nothing until the rebalance that has begun is over."""
        self._assignment += 1
        if self._restoring:
            self._restoring = False
            self.rows.reassign(frozenset())  # half of what the table holds was put back
        self.emitter.settle(False)
        self.intake.rebalanced()
        self.reading.forget()
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None

    async def recovered(self, owned: frozenset[int], table: Table) -> None:
        """The table holds what its changelog does: put back the pages of gained partitions."""
        assignment, self._restoring = self._assignment, True
        gained = self.rows.reassign(owned)
        found: dict[tuple[str, str], list[tuple[Place, ModelAck, bytes]]] = {}
        for number, (key, raw) in enumerate(list(table.items())):
            if number % ROWS_AT_ONCE == 0:
                await asyncio.sleep(0)
            if (announced := parse_announced_key(key)) is not None:
                if partition_of(announced) in gained and raw.isdigit():
                    self.rows.row(announced).heard_announced(int(raw))
                continue
            page = parse_page_key(key)
            if page is None or partition_of(page[0]) not in gained:
                continue  # also: rows that a lost partition left behind
            try:
                ack = await self._read(ModelAck, raw)
            except ModelcastError as error:
                log.warning("a row of the table can't be read", key=key, error=error)
            else:
                found.setdefault(page[:2], []).append((page[2], ack, raw))
        if assignment != self._assignment:
            return  # revoked meanwhile
        self._restoring = False
        for (model, region), pages in found.items():
            self.rows.restore(model, region, pages)
        self.intake.assigned()
        log.info("partitions assigned", owned=sorted(owned), gained=len(gained), models=len(self.rows.models))
        self.mirror.new_owner()
        self._settling = asyncio.create_task(self._settle(gained))

    async def _settle(self, gained: frozenset[int]) -> None:
        """Learn what was published before and what the logs hold now; then publish."""
        if gained:
            published = await self._ports.published.published(gained, SETTLE_SECONDS_MAX)
            if published is None:
                log.warning("the states published before are not known: durations begin anew")
            listed = await self.watch.list_registry()
            renewals = await self._renewals_by_partition(published or {})
            for model, raw in (published or {}).items():
                known = model in self.rows.models or not listed
                if partition_of(model) in gained and known and not is_unchanged(model.encode()):
                    await self._remember(model, raw, renewals.get(partition_of(model)))
            unread = {model for model, row in self.rows.models.items() if row.log is None}
            await self.watch.read_now(unread, SETTLE_SECONDS_MAX)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._heartbeats_read.wait(), SETTLE_SECONDS_MAX)
        self.emitter.settle(True)

    async def _read(self, kind: type[R], raw: bytes) -> R:
        """Read what a tracker wrote, also a newer one with schemas of its own."""
        return await self.intake.schemas.decoding(lambda: decode_as(kind, raw, book=self._reader.book))

    async def _renewals_by_partition(self, published: Mapping[str, bytes]) -> dict[int, StatesUnchanged]:
        """The renewals of states that had not changed, by partition."""
        found: dict[int, StatesUnchanged] = {}
        for key, raw in published.items():
            if is_unchanged(key.encode()):
                try:
                    found[partition_of(key)] = await self._read(StatesUnchanged, raw)
                except ModelcastError as error:
                    log.warning("what was told of unchanged states can't be read", key=key, error=error)
        return found

    async def _remember(self, model: str, raw: bytes, told: StatesUnchanged | None) -> None:
        try:
            state = await self._read(VersionState, raw)
        except ModelcastError as error:
            log.warning("a state published before can't be read", model=model, error=error)
            return
        if state.model == model:
            newer = renewed(state, told, told.of(model)) if told is not None else None
            self.rows.row(model).previous = newer or state

    # --- between the parts ----------------------------------------------------------------------------------

    def log_changed(self, model: str) -> None:
        """See ``LogFindings``."""
        asyncio.get_running_loop().call_later(LOG_NEWS_SECONDS, self.emitter.changed, model)

    def _view_is_back(self) -> None:
        for model in tuple(self.rows.models):
            self.emitter.missing_in_view(model)

    def _missing_in_view(self, model: str) -> None:
        self.emitter.missing_in_view(model)

    def met(self, model: str) -> None:
        """See ``LogFindings``."""
        self.intake.reports.met(model)

    def unknown(self, model: str) -> None:
        """See ``LogFindings``."""
        self.intake.reports.unknown(model)

    def refuse(self, announcement: Announcement, reason: str, detail: str) -> None:
        """See ``LogFindings``."""
        self.intake.refuse_announcement(announcement, reason, detail)

    def announce(self, model: str, raw: bytes, generation: int) -> None:
        """See ``LogFindings``."""

        def delivered(done: bool) -> None:
            ANNOUNCEMENTS.labels("tracker", "done" if done else "failed").inc()
            row = self.rows.models.get(model)
            if not done and row is not None and row.announced is not None:
                row.announced = min(row.announced, generation - 1)

        self._ports.sender.send(Topic.MODEL_UPDATES, model, raw, delivered)

    def fetched(self, records: Iterable[Message]) -> None:
        """Records were fetched and will come one after the other."""
        self.intake.fetched(records)
