"""The tracker's Faust app: its streams, its table, and what happens as partitions change hands."""

import asyncio
from typing import Any, TypeVar

import faust
import structlog

from modelcast.agents.tracker.decider.heartbeats import Heartbeats
from modelcast.agents.tracker.decider.rows import Rows, parse_announced_key, parse_page_key
from modelcast.agents.tracker.decider.snapshots import Place
from modelcast.agents.tracker.emitter import Emitter
from modelcast.agents.tracker.follower import Follower
from modelcast.agents.tracker.intake import Intake
from modelcast.agents.tracker.log_watch import Announcement, LogWatch, Outlets
from modelcast.agents.tracker.mirror import Mirror
from modelcast.infra.kafka.faust_app import BYTES, make_app
from modelcast.infra.kafka.outbox import Outbox
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.settings import Settings
from modelcast.infra.telemetry.metrics import ANNOUNCEMENTS
from modelcast.schemas.codec import decode_as
from modelcast.schemas.errors import ModelcastError
from modelcast.schemas.records import ModelAck, VersionState
from modelcast.schemas.topics import Topic, partition_of

APP_NAME = "tracker"
TABLE_NAME = "rows"
SETTLE_SECONDS_MAX = 10.0
ROWS_AT_ONCE = 64
LOG_NEWS_SECONDS = 0.03
"""How long news of a log wait: most often the regions have something to say of them at once, and it goes together."""
DEAR_BYTES = 4096
"""Reading records from this size on costs so much that looking ahead is worth more."""
BEHIND_RECORDS, BEHIND_DEAR_RECORDS = 32, 4
"""So many records behind its partition's end, a record is of a backlog."""

FETCH_BYTES_MAX = 8 * 1024 * 1024
"""Of a partition at once. A snapshot of 1,000 pods takes 120 KB; the more of a backlog is at hand, the more of it is
seen to be overtaken and is never decoded."""

CHANGELOG_CONFIG = {
    # Rewritten rows must be compacted soon, or a takeover would read gigabytes.
    "segment.ms": str(10 * 60 * 1000),
    "segment.bytes": str(16 * 1024 * 1024),
    "min.cleanable.dirty.ratio": "0.1",
}

R = TypeVar("R", ModelAck, VersionState)

log = structlog.get_logger(__name__)


class Tracker:
    """One tracker worker. ``build`` makes its Faust app; its parts' ``run`` methods run beside it."""

    def __init__(self, settings: Settings, reader: RegistryReader, worker: str) -> None:
        self._settings, self._reader = settings, reader
        self.rows, heartbeats = Rows(), Heartbeats()
        self.outbox = Outbox(settings, f"tracker {worker}")
        self.mirror = Mirror(settings, worker, self._view_is_back)
        outlets = Outlets(refuse=self._refuse, announce=self._announce, changed=self._log_changed)
        self.watch = LogWatch(reader, self.rows, outlets, settings.tracker.announce_seconds)
        self.emitter = Emitter(
            settings, self.rows, heartbeats, self.outbox, self.mirror, alarm=lambda: self.watch.alarm
        )
        self.intake = Intake(reader, self.rows, heartbeats, self.watch, self.outbox, self.mirror, self.emitter.changed)
        self.follower = Follower(settings, self.intake.heartbeat)
        self._settling: asyncio.Task[None] | None = None

    def build(self) -> faust.App:
        """A fresh app. Its table holds the pages of snapshots, and what was announced."""
        self._unsettle()
        self.rows.reassign(frozenset())
        app = make_app(self._settings, APP_NAME, table_standby_replicas=0, consumer_max_fetch_size=FETCH_BYTES_MAX)
        table: Any = app.Table(TABLE_NAME, key_type=bytes, value_type=bytes, extra_topic_configs=CHANGELOG_CONFIG)

        @app.agent(app.topic(str(Topic.MODEL_ACKS), schema=BYTES, allow_empty=True), concurrency=1, name="acks")
        async def acks(stream: Any) -> None:
            async for event in stream.events():
                message = event.message
                dear = len(message.value or b"") >= DEAR_BYTES
                behind = (app.consumer.highwater(message.tp) or 0) - message.offset
                if behind > (BEHIND_DEAR_RECORDS if dear else BEHIND_RECORDS):
                    await self.intake.look_ahead(message)
                await self.intake.ack(message, table)

        @app.agent(app.topic(str(Topic.MODEL_UPDATES), schema=BYTES, allow_empty=True), concurrency=1, name="updates")
        async def updates(stream: Any) -> None:
            async for event in stream.events():
                await self.intake.update(event.message, table)

        async def revoked(*_: Any, **__: Any) -> None:
            self._unsettle()

        async def recovered() -> None:
            topic = str(Topic.MODEL_ACKS)
            owned = frozenset(tp.partition for tp in app.consumer.assignment() if tp.topic == topic)
            await self._recovered(owned, table)

        app.on_fetched = self.intake.fetched
        connect: Any = app.on_partitions_revoked.connect
        connect(revoked, weak=False)
        table.on_recover(recovered)
        return app

    # --- between the parts ----------------------------------------------------------------------------------

    def _log_changed(self, model: str) -> None:
        asyncio.get_running_loop().call_later(LOG_NEWS_SECONDS, self.emitter.changed, model)

    def _view_is_back(self) -> None:
        self.emitter.all_changed()

    def _refuse(self, announcement: Announcement, reason: str, detail: str) -> None:
        self.intake.refuse_announcement(announcement, reason, detail)

    def _announce(self, model: str, raw: bytes, generation: int) -> None:
        def delivered(done: bool) -> None:
            ANNOUNCEMENTS.labels("tracker", "done" if done else "failed").inc()
            row = self.rows.models.get(model)
            if not done and row is not None and row.announced is not None:
                row.announced = min(row.announced, generation - 1)

        self.outbox.send(Topic.MODEL_UPDATES, model, raw, delivered)

    # --- partitions change hands ----------------------------------------------------------------------------

    def _unsettle(self) -> None:
        self.emitter.settle(False)
        self.intake.rebalanced()
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None

    async def _recovered(self, owned: frozenset[int], table: Any) -> None:
        """The table holds what its changelog does: put back the pages of gained partitions."""
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
        for (model, region), pages in found.items():
            self.rows.restore(model, region, pages)
        log.info("partitions assigned", owned=sorted(owned), gained=len(gained), models=len(self.rows.models))
        self.mirror.new_owner()
        self._settling = asyncio.create_task(self._settle(gained))

    async def _settle(self, gained: frozenset[int]) -> None:
        """Learn what was published before and what the logs hold now; then publish."""
        if gained:
            published = await self.follower.published(gained, SETTLE_SECONDS_MAX)
            if published is None:
                log.warning("the states published before are not known: durations begin anew")
            for model, raw in (published or {}).items():
                if partition_of(model) in gained:
                    await self._remember(model, raw)
            await self.watch.list_registry()
            unread = {model for model, row in self.rows.models.items() if row.log is None}
            await self.watch.read_now(unread, SETTLE_SECONDS_MAX)
        self.emitter.settle(True)

    async def _read(self, kind: type[R], raw: bytes) -> R:
        """What a tracker wrote, be it a newer one with schemas of its own."""
        return await self.intake.schemas.decoding(lambda: decode_as(kind, raw, book=self._reader.book))

    async def _remember(self, model: str, raw: bytes) -> None:
        try:
            state = await self._read(VersionState, raw)
        except ModelcastError as error:
            log.warning("a state published before can't be read", model=model, error=error)
            return
        if state.model == model:
            self.rows.row(model).previous = state
