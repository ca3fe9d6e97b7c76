"""The tracker: its real fold over acks that Kafka lost, doubled and shuffled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelcast.agents.tracker.decider.fold import Known, fold
from modelcast.agents.tracker.decider.rows import ModelRow
from modelcast.agents.tracker.decider.snapshots import EMPTY, RegionRows, take
from modelcast.schemas.errors import DecodeError, ForeignRegistry
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.records import ModelAck, VersionState

if TYPE_CHECKING:
    from tests.simulation.world import World

ANNOUNCE_SECONDS = 25.0
COALESCE_SECONDS = 0.2
REFRESH_SECONDS = 30.0


class Tracker:
    """One process. ``rows`` is its table (with a changelog, unless that is lost), ``redis`` the view."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rows: dict[str, RegionRows] = {}
        self.redis: dict[str, VersionState] = {}
        self.published: VersionState | None = None  # in the compacted topic
        self._life = 0
        self._start()

    def _start(self) -> None:
        self._life += 1
        self.up = True
        self.log = ModelLog(self.world.model, self.world.registry_id)
        self.times_us: dict[int, int] = {}
        self._announced: set[int] = set()
        self._dirty = False
        self._later(1.0, self._refresh)
        self._later(self.world.rng.uniform(0.5, 1.0) * ANNOUNCE_SECONDS, self._list)

    def crash(self, *, tables: bool = False) -> None:
        """End at once, come back soon; perhaps without tables."""
        self.world.trace("tracker", "CRASHED" + (", TABLES LOST" if tables else ""))
        self._life += 1
        self.up = False
        if tables:
            self.rows = {}
            self.published = None
        self.world.after(self.world.rng.uniform(1.0, 10.0), lambda: None if self.up else self._start())

    def hears_of(self, generation: int) -> None:
        """An announcement."""
        if self.up:
            self._announced.add(generation)
            self._mark()

    def hears_ack(self, ack: ModelAck) -> None:
        """A page of a snapshot; Kafka keeps it while we are down."""
        if not self.up:
            self.world.after(1.0, lambda: self.hears_ack(ack))
            return
        change = take(self.rows.get(ack.region, EMPTY), ack)
        self.world.checks.rows_moved(ack.region, self.rows.get(ack.region), change.rows)
        self.rows[ack.region] = change.rows
        if change.completed:
            self._mark()

    def fold(self) -> VersionState:
        """What it says now."""
        alarm = self._read_log()
        now_us = int(self.world.now * 1e6)
        names = tuple(region.name for region in self.world.regions)
        snapshots = {name: rows.complete for name, rows in self.rows.items() if rows.complete}
        heard_us = dict.fromkeys(names, now_us)
        known = Known(self.log, self.times_us, snapshots, heard_us, names, self.published, alarm=alarm)
        return fold(known, now_us)

    def _read_log(self) -> str:
        """Read on; from entry 1 if what was read does not stand any more. Why an alarm is due, or ""."""
        reader, model = self.world.reader, self.log.model
        try:
            try:
                reader.check_standing(self.log)
                tail = reader.tail(model, self.log, partial=True)
            except ForeignRegistry:
                tail = reader.tail(model, partial=True)
        except DecodeError as error:
            return str(error)
        self.log = tail.log
        self.times_us.update(tail.times_us)
        row = ModelRow(model, log=self.log)
        row.ended({name: rows.complete.header.generation for name, rows in self.rows.items() if rows.complete})
        return "; ".join(filter(None, (str(tail.unread or ""), *row.beyond.values())))

    def _mark(self) -> None:
        if not self._dirty:
            self._dirty = True
            self._later(COALESCE_SECONDS, self._say)

    def _say(self) -> None:
        self._dirty = False
        state = self.fold()
        self.published = state
        self.redis[state.model] = state
        self.world.checks.version_state_said(state)

    def _refresh(self) -> None:
        self._later(REFRESH_SECONDS, self._refresh)
        self._say()

    def _list(self) -> None:
        """Announce what was claimed and never announced."""
        self._later(ANNOUNCE_SECONDS, self._list)
        for generation in range(1, self.world.truth.head + 1):
            if generation not in self._announced:
                self._announced.add(generation)
                self.world.stats["announced by the tracker"] += 1
                self.world.kafka.announce(generation)

    def _later(self, delay: float, action: object) -> None:
        life = self._life
        self.world.after(delay, lambda: action() if life == self._life else None)  # type: ignore[operator]
