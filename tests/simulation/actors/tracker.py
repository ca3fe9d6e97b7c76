"""The tracker: a group of workers, each the production shell on simulated lines to Kafka, the stores and Redis."""

from __future__ import annotations

import asyncio
import random
from functools import partial
from typing import TYPE_CHECKING, Any

from modelcast.agents.tracker.agent import TrackerAgent
from modelcast.agents.tracker.decider.snapshots import RegionRows
from modelcast.agents.tracker.ports import TrackerPorts, WorkerClocks
from modelcast.infra.settings import RegionSettings, Settings, TrackerSettings
from modelcast.schemas.records import VersionState
from modelcast.schemas.topics import Topic, partition_of
from tests.simulation.actors.group import Group
from tests.simulation.actors.line import OriginLine
from tests.simulation.actors.origin import Reader
from tests.simulation.actors.process import Process
from tests.simulation.actors.tracker_lines import PublishedLine, SenderLine, TableLine, ViewLine
from tests.simulation.convergence import memory_of
from tests.simulation.time.threads import SimulatedThreads

if TYPE_CHECKING:
    from tests.simulation.actors.kafka import Kept
    from tests.simulation.world import World

LOOK_SECONDS = 10.0
"""How often it is looked at what is said of silent regions."""
SETTLED_SECONDS = 40.0
"""A worker that has gone on for so long knows who was silent for so long."""
PACE = TrackerSettings(
    announce_seconds=25.0, silent_seconds=25.0, refresh_seconds=30.0, report_seconds=5.0, probe_seconds=0.0
)
FETCH_RECORDS_MAX = 32


class Trackers(Group["TrackerWorker"]):
    """The workers of the tracker, and where they have come to in the topics."""

    def __init__(self, world: World) -> None:
        super().__init__(world, "tracker")
        self.committed: dict[Topic, int] = {}
        self.workers = [TrackerWorker(self, f"tracker/{number}") for number in range(world.rng.randint(1, 2))]
        self.settings = Settings.model_construct(
            regions={region.name: RegionSettings() for region in world.regions}, tracker=PACE
        )
        self._heard_at: dict[str, float] = {}

    def begin(self) -> None:
        """Start the workers."""
        for worker in self.workers:
            worker.start()
        self._look_for_silence()

    def told_of_news(self) -> None:
        """A topic has grown."""
        if self.assignee is not None:
            self.assignee.told_of_news()

    def topics_lost(self) -> None:
        """Every offset is void; stream apps are made anew."""
        self.committed.clear()
        for worker in self.workers:
            worker.later(self.world.rng.uniform(0.5, 5.0), worker.begin_anew)

    def lose_tables(self) -> None:
        """All processes end, and what they wrote down is gone."""
        self.world.trace("tracker", "TABLES LOST")
        self.world.kafka.changelog.clear()
        self.world.kafka.version_state = self.world.kafka.unchanged = None
        for worker in self.workers:
            worker.crash("tables lost")

    def heard_of(self, region: str, beat: Kept) -> None:
        """Kafka has a heartbeat of a region."""
        self._heard_at[region] = self.world.now
        for worker in self.workers:
            worker.hears(0.02, partial(worker.hears_beat, beat))

    def _look_for_silence(self) -> None:
        for worker in self.workers:
            for name, heard_at in self._heard_at.items():
                if worker.went_on_for(SETTLED_SECONDS) and self.world.now - heard_at > SETTLED_SECONDS:
                    self.world.checks.unheard(worker, name)
        self.world.after(LOOK_SECONDS, self._look_for_silence)


class TrackerWorker(Process):
    """One process of the tracker."""

    def __init__(self, group: Trackers, name: str) -> None:
        super().__init__(group, name)
        self.trackers = group
        self.assignment = 0  # the number of the last assignment that it heard of
        self.streams: list[asyncio.Event] = []  # set when there may be something to fetch
        self.last_said: VersionState | None = None
        self.last_said_at = float("-inf")
        self.told_at = float("-inf")  # when it last heard of an assignment or a revocation
        self.dear_seconds = 0.0  # of processor time, spent on models that are dear to tell
        self.is_revoked = True
        self._live_from: int | None = None  # the first heartbeat that is none of those that lay there; None: not read

    # --- living and dying ---------------------------------------------------------------------------------

    def begun(self) -> None:
        """See ``Process``."""
        world = self.world
        self.last_said, self.last_said_at = None, float("-inf")
        ports = TrackerPorts(
            sender=SenderLine(self),
            open_view=lambda registry_id: ViewLine(self, registry_id),
            published=PublishedLine(self),
            stores=SimulatedThreads(self),
            regions=SimulatedThreads(self),
            epoch_of=self._epoch_of,
            clock=WorkerClocks(
                lambda: world.now + self.dear_seconds, lambda: int(world.now * 1e6), lambda: self.dear_seconds
            ),
            rng=random.Random(world.rng.random()),
            schemas=SimulatedThreads(self),
        )
        self.agent = TrackerAgent(self.trackers.settings, Reader(OriginLine(self)), self.identity, ports)
        self.agent.begins_anew()
        self._live_from = None
        self.hears(world.rng.uniform(0.05, 1.0), self._hears_old_beats)
        for run in self.agent.parts.values():
            self.loop.create_task(run()).add_done_callback(self._has_ended)  # type: ignore[arg-type]

    def _epoch_of(self, name: str, model: str) -> int:
        """See ``TrackerPorts``."""
        world = self.world
        region = next(region for region in world.regions if region.name == name)
        memory = memory_of(world, region)
        return memory.epoch if memory is not None else 0

    def _has_ended(self, part: asyncio.Task[Any]) -> None:
        if not part.cancelled() and (error := part.exception()) is not None:
            self.world.failed(error)

    def ended(self) -> None:
        """See ``Process``."""
        self.assignment, self.is_revoked = 0, True

    def reconnected(self) -> None:
        """See ``Process``."""
        self.told_of_news()

    # --- the group ----------------------------------------------------------------------------------------

    def assigned(self, number: int) -> None:
        """The group gives us the partition."""
        if number <= self.assignment:
            return
        self.world.trace(self.name, f"assigned ({number})")
        self._rebalance(number)
        self.is_revoked = False
        self.loop.create_task(self._take_over(number))

    def revoked(self, number: int) -> None:
        """Assignment ``number`` is somebody else's."""
        if number <= self.assignment:
            return
        self.world.trace(self.name, f"revoked ({number})")
        self._rebalance(number)
        self.is_revoked = True
        self.loop.create_task(self._left_with_nothing(number))

    def begin_anew(self) -> None:
        """The stream app is made anew: it leaves the group and joins it again."""
        self.agent.begins_anew()
        self.told_at, self.is_revoked = self.world.now, True
        self.group.lost(self)
        self.assignment = self.group.number
        self.later(self.world.rng.uniform(0.5, 2.0), lambda: self.group.joined(self))

    def _rebalance(self, number: int) -> None:
        self.assignment, self.told_at = number, self.world.now
        self.told_of_news()  # streams find out
        self.agent.revoked()

    async def _take_over(self, number: int) -> None:
        await asyncio.sleep(self.world.rng.uniform(0.05, 1.0))  # reading the changelog
        if number != self.assignment:
            return
        table = TableLine(self)
        await self.agent.recovered(frozenset(map(partition_of, self.world.models)), table)
        self.streams = []
        for topic in self.world.kafka.topics:
            self.loop.create_task(self._stream(topic, number, table)).add_done_callback(self._has_ended)

    async def _left_with_nothing(self, number: int) -> None:
        await asyncio.sleep(self.world.rng.uniform(0.0, 0.5))
        if number == self.assignment:
            await self.agent.recovered(frozenset(), {})

    # --- the topics ---------------------------------------------------------------------------------------

    def went_on_for(self, seconds: float) -> bool:
        """Whether it has had the partition for so long without a pause."""
        since = max(self.told_at, self.woken_at, self.connected_at)
        settled = self.up and not self.paused and not self.cut_off and self.agent.emitter.settled
        return settled and not self.is_revoked and self.world.now - since > seconds

    def told_of_news(self) -> None:
        """There may be something to fetch."""
        for stream in self.streams:
            if not stream.is_set():
                self.later(self.world.rng.uniform(0.001, 0.02), stream.set)

    async def _stream(self, topic: Topic, number: int, table: TableLine) -> None:
        """A model of what Faust does with one partition of a topic."""
        kafka, trackers, news = self.world.kafka, self.trackers, asyncio.Event()
        self.streams.append(news)
        cluster, position = kafka.cluster, trackers.committed.get(topic, 0)
        began = position
        while number == self.assignment and cluster == kafka.cluster:
            records = kafka.topics[topic]
            fetched = (
                [] if self.cut_off else records[position : position + self.world.rng.randint(1, FETCH_RECORDS_MAX)]
            )
            if not fetched:
                if topic is Topic.MODEL_ACKS and position == len(records):
                    self.world.checks.lies_are_over(self, began)
                news.clear()
                await news.wait()
                continue
            self.agent.fetched(fetched)
            for record in fetched:
                if number != self.assignment or cluster != kafka.cluster:
                    return
                if topic is Topic.MODEL_ACKS:
                    before = self._rows()
                    await self.agent.ack(record, len(records), table)
                    if number == self.assignment:
                        self.world.checks.rows_moved(self, before, self._rows())
                else:
                    await self.agent.intake.update(record, table)
                position = record.offset + 1
            if number == trackers.number and cluster == kafka.cluster and not self.cut_off:
                trackers.committed[topic] = position

    def _rows(self) -> dict[str, RegionRows]:
        row = self.agent.rows.models.get(self.world.model)
        return dict(row.regions) if row is not None else {}

    def _hears_old_beats(self) -> None:
        kafka = self.world.kafka
        self._live_from = kafka.beats + 1
        for beat in tuple(kafka.heartbeats.values()):
            self._takes_beat(beat, None)
        self.agent.heartbeats_are_read()

    def hears_beat(self, beat: Kept) -> None:
        """A region is alive."""
        if self._live_from is not None and beat.offset >= self._live_from:
            self._takes_beat(beat, self.world.now_us)

    def _takes_beat(self, beat: Kept, live_at_us: int | None) -> None:
        raw, appended_us = beat.value or b"", int(beat.timestamp * 1e6)
        self.agent.intake.heartbeat(raw, beat.key, beat.offset, appended_us, live_at_us)

    # --- writing ------------------------------------------------------------------------------------------

    def said(self, state: VersionState) -> None:
        """A state was handed over."""
        self.last_said, self.last_said_at = state, self.world.now
