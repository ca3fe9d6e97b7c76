"""One worker of the rollout controller: which models it looks after, and what it hears about them."""

import asyncio
from collections.abc import Iterable
from typing import Protocol

import structlog

from modelcast.agents.rollout.actor import RolloutActor
from modelcast.agents.rollout.decider import facts
from modelcast.agents.rollout.ports import RolloutPorts
from modelcast.agents.rollout.seen_ids import SeenIds
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.telemetry.metrics import RECORDS
from modelcast.schemas.codec import decode
from modelcast.schemas.errors import DecodeError, ModelcastError, NotFound
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.names import MODEL_PATTERN
from modelcast.schemas.topics import Topic, partition_of
from modelcast.schemas.traffic.outcomes import ObservedOutcome
from modelcast.schemas.traffic.reports import PodCounts, TrafficReading

TICK_SECONDS = 0.5
LIST_SECONDS = 10.0
OLD_SECONDS = 60.0
"""Counts are cumulative: what lay longer in Kafka is made up for by what comes after it."""

log = structlog.get_logger(__name__)


class TrafficMessage(Protocol):
    """A Kafka record as Faust hands it over. ``timestamp``: seconds, by the cluster's clock."""

    key: bytes | None
    value: bytes | None
    timestamp: float


class RolloutAgent:
    """For one event loop.

    Args:
        expected: regions of the settings.
        reader: the registry.
        worker: this worker's name.
        ports: the world.
    """

    def __init__(self, expected: tuple[str, ...], reader: RegistryReader, worker: str, ports: RolloutPorts) -> None:
        self._expected, self._reader, self._worker, self._ports = expected, reader, worker, ports
        self._owned: frozenset[int] = frozenset()
        self._actors: dict[str, RolloutActor] = {}
        self._idle: dict[str, ModelLog] = {}
        self._wakes: asyncio.Queue[str] = asyncio.Queue()
        self._waiting: set[str] = set()
        self._seen: dict[str, SeenIds] = {}
        self.listed = False

    # --- what Kafka brings ----------------------------------------------------------------------------------

    def assigned(self, partitions: Iterable[int]) -> None:
        """These partitions are ours from now on."""
        self._owned = frozenset(partitions)
        self.listed = False
        log.info("partitions assigned", owned=sorted(self._owned))

    async def revoked(self) -> None:
        """None is ours until the rebalance is over: decide nothing more. What was seen is in the store."""
        self._owned = frozenset()
        actors, self._actors = self._actors, {}
        self._idle = {}
        self._seen = {}
        for actor in actors.values():
            await actor.close()

    def update(self, message: TrafficMessage) -> None:
        """Something was written into a model's log: a reason to look."""
        model = (message.key or b"").decode("utf-8", "replace")
        if MODEL_PATTERN.fullmatch(model):
            self._wake(model)

    def report(self, message: TrafficMessage) -> None:
        """A record of ``traffic-counts``. One that can't be read is counted, and logged."""
        age_seconds = max(0.0, self._ports.now().wall_us / 1e6 - message.timestamp)
        if age_seconds > OLD_SECONDS:
            RECORDS.labels(str(Topic.TRAFFIC_COUNTS), "stale").inc()
            return
        try:
            record = decode(message.value, book=self._reader.book)
        except DecodeError as error:
            RECORDS.labels(str(Topic.TRAFFIC_COUNTS), "unreadable").inc()
            log.warning("a record is not used", topic=str(Topic.TRAFFIC_COUNTS), reason=error.reason, error=str(error))
            return
        if not isinstance(record, PodCounts | TrafficReading):
            RECORDS.labels(str(Topic.TRAFFIC_COUNTS), "unreadable").inc()
            return
        actor = self._actors.get(record.model)
        if actor is None or actor.log is None or record.registry_id != actor.log.registry_id:
            return
        RECORDS.labels(str(Topic.TRAFFIC_COUNTS), "folded").inc()
        if isinstance(record, PodCounts):
            actor.tell(facts.CountsHeard(record))
        else:
            behind_us = round(message.timestamp * 1e6) - record.reported_at_us
            actor.tell(facts.ReadingHeard(record, age_seconds, behind_us))

    def outcome(self, message: TrafficMessage) -> None:
        """A record of ``outcomes``. One that can't be read is counted, and logged; so is one that comes again."""
        topic = str(Topic.OUTCOMES)
        try:
            record = decode(message.value, book=self._reader.book)
        except DecodeError as error:
            RECORDS.labels(topic, "unreadable").inc()
            log.warning("a record is not used", topic=topic, reason=error.reason, error=str(error))
            return
        if not isinstance(record, ObservedOutcome):
            RECORDS.labels(topic, "unreadable").inc()
            return
        actor = self._actors.get(record.model)
        if actor is None:
            return
        if not self._seen.setdefault(record.model, SeenIds()).is_new(record.name, record.id):
            RECORDS.labels(topic, "doubled").inc()
            return
        RECORDS.labels(topic, "folded").inc()
        actor.tell(facts.OutcomeHeard(record))

    # --- what runs beside the streams -----------------------------------------------------------------------

    async def run(self) -> None:
        """Read logs, and let time pass, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read_forever())
            group.create_task(self._list_forever())
            group.create_task(self._tick_forever())

    async def _tick_forever(self) -> None:
        while True:
            for actor in list(self._actors.values()):
                if actor.busy:
                    actor.tell(facts.Ticked())
            await asyncio.sleep(TICK_SECONDS)

    async def _list_forever(self) -> None:
        while True:
            if self._owned:
                await self._list()
            await asyncio.sleep(LIST_SECONDS if self.listed else TICK_SECONDS)

    async def _list(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            heads = await loop.run_in_executor(self._ports.threads, self._reader.heads, self._owns)
        except NotFound:
            heads = {}  # nothing was ever published
        except ModelcastError as error:
            log.warning("the registry can't be listed", error=str(error))
            return
        for model, head in heads.items():
            known = self._known(model)
            if known is None or known.head < head:
                self._wake(model)
        self.listed = True

    async def _read_forever(self) -> None:
        while True:
            model = await self._wakes.get()
            self._waiting.discard(model)
            if not self._owns(model):
                continue
            try:
                await self._read(model)
            except ModelcastError as error:
                log.warning("a log can't be read", model=model, error=str(error))

    async def _read(self, model: str) -> None:
        known = self._known(model)
        tail = await asyncio.get_running_loop().run_in_executor(self._ports.threads, self._tail, model, known)
        if not self._owns(model):
            return
        actor = self._actors.get(model)
        if actor is None and tail.rollout is None:
            self._idle[model] = tail
            return
        if actor is None:
            self._idle.pop(model, None)
            actor = self._actors[model] = RolloutActor(model, self._expected, self._reader, self._worker, self._ports)
        actor.tell(facts.LogFolded(tail))

    def _tail(self, model: str, known: ModelLog | None) -> ModelLog:
        self._reader.registry_id()
        return self._reader.tail(model, known).log

    # --- which models ---------------------------------------------------------------------------------------

    def _owns(self, model: str) -> bool:
        return partition_of(model) in self._owned

    def _known(self, model: str) -> ModelLog | None:
        actor = self._actors.get(model)
        return actor.log if actor is not None else self._idle.get(model)

    def _wake(self, model: str) -> None:
        if self._owns(model) and model not in self._waiting:
            self._waiting.add(model)
            self._wakes.put_nowait(model)
