"""A tracker worker's lines to Kafka and to the live view: what is written gets lost, late, or is heard of in vain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

from modelcast.infra.kafka.dead_letter_writer import DeadLetterWriter
from modelcast.infra.kafka.outbox import Delivered
from modelcast.infra.redis_view import Batch, Keys, NotRenewed, Renewal, Write
from modelcast.schemas.codec import decode_as
from modelcast.schemas.errors import KafkaUnavailable, RedisUnavailable
from modelcast.schemas.records import VersionState
from modelcast.schemas.topics import Topic, partition_of
from modelcast.schemas.unchanged import UNCHANGED_KEYS, StatesUnchanged, is_unchanged
from tests.simulation.comings_and_goings import check_model
from tests.simulation.unchanged import check_unchanged

if TYPE_CHECKING:
    from tests.simulation.actors.tracker import TrackerWorker
    from tests.simulation.world import World

T = TypeVar("T")

DEAR_SECONDS = 0.03
"""What it costs to find out that a model can't be told: more than a pass may take."""


class TableLine(dict[bytes, bytes]):
    """A worker's table; what is written to it goes to its changelog."""

    def __init__(self, worker: TrackerWorker) -> None:
        super().__init__(worker.world.kafka.changelog)
        self._worker = worker

    def __setitem__(self, key: bytes, value: bytes) -> None:
        super().__setitem__(key, value)
        self._worker.writes(lambda: self._worker.world.kafka.changelog.__setitem__(key, value))

    def pop(self, key: bytes, default: bytes = b"") -> bytes:  # type: ignore[override]
        """Also from the changelog."""
        self._worker.writes(lambda: self._worker.world.kafka.changelog.pop(key, None))
        return super().pop(key, default)


class SenderLine:
    """See ``Sender``."""

    def __init__(self, worker: TrackerWorker) -> None:
        self._worker, self._world = worker, worker.world
        self.dead_letter = DeadLetterWriter(self.send, worker.name)

    def send(self, topic: Topic, key: str, value: bytes, on_delivery: Delivered = lambda done: None) -> None:
        """See ``Sender``."""
        worker, world = self._worker, self._world
        if is_unchanged(key.encode()):
            told = decode_as(StatesUnchanged, value)
            if (row := told.of(world.model)) is not None:
                check_unchanged(world, worker, row)
                worker.writes(lambda: self._told(value, on_delivery))
            return
        if topic in {Topic.VERSION_STATE, Topic.MODEL_UPDATES}:
            check_model(world, worker.name, key)
        if key != world.model and topic in {Topic.VERSION_STATE, Topic.MODEL_UPDATES}:
            self._send_of_the_neighbour(topic, on_delivery)
            return
        if topic is Topic.VERSION_STATE:
            state = decode_as(VersionState, value)
            world.checks.version_state_said(worker, state)
            worker.said(state)
        if world.fault("tracker's record not delivered"):
            worker.later(0.01, lambda: on_delivery(False))
            return
        worker.writes(lambda: self._arrives(topic, value, on_delivery))

    def _told(self, value: bytes, on_delivery: Delivered) -> None:
        self._world.kafka.unchanged = value
        self._worker.hears(0.01, lambda: on_delivery(True))

    def _send_of_the_neighbour(self, topic: Topic, on_delivery: Delivered) -> None:
        worker = self._worker
        if topic is Topic.VERSION_STATE and self._world.fault("another model can't be told"):
            worker.dear_seconds += DEAR_SECONDS
            raise KafkaUnavailable("refused")
        worker.later(0.01, lambda: on_delivery(True))

    def _arrives(self, topic: Topic, value: bytes, on_delivery: Delivered) -> None:
        world = self._world
        self._worker.hears(0.01, lambda: on_delivery(True))
        if topic is Topic.VERSION_STATE:
            world.kafka.version_state = value
        elif topic is Topic.MODEL_UPDATES:
            world.stats["announced by the tracker"] += 1
            world.kafka.announce(world.reader.decode_entry(value).entry.generation)
        else:
            world.stats[f"sent: {topic}"] += 1


class PublishedLine:
    """See ``PublishedStates``."""

    def __init__(self, worker: TrackerWorker) -> None:
        self._worker = worker

    async def published(self, partitions: Iterable[int], timeout_seconds: float) -> dict[str, bytes] | None:
        """See ``PublishedStates``."""
        world = self._worker.world
        await asyncio.sleep(world.rng.uniform(0.01, 0.5))
        if world.fault("published states not read"):
            await asyncio.sleep(timeout_seconds)
            return None
        key = UNCHANGED_KEYS[partition_of(world.model)]
        found = {world.model: world.kafka.version_state, key: world.kafka.unchanged}
        return {name: value for name, value in found.items() if value is not None}

    async def probe_states(self, timeout_seconds: float) -> dict[str, bytes] | None:
        """See ``PublishedStates``; no probe is sent here."""
        return {}


class Redis:
    """The server: it compares fences as ``infra.redis_view`` has it do."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._keys = Keys(world.registry_id)
        self._last_fence = 0
        self._content: dict[str, tuple[int, dict[str, bytes]]] = {}

    def clear(self) -> None:
        """Its data is lost."""
        self._content.clear()
        self._last_fence = 0

    def state(self, model: str) -> VersionState | None:
        """What it says of a model."""
        found = self._content.get(self._keys.model(model))
        return decode_as(VersionState, found[1]["v"]) if found else None

    def take_fence(self) -> int:
        """A number greater than the last one."""
        self._last_fence = max(self._last_fence + 1, int(self._world.now * 1e6))
        return self._last_fence

    def renew(self, renewals: Sequence[Renewal]) -> NotRenewed:
        """What could not be renewed."""
        missing, refused = set(), set()
        for each in renewals:
            at, content = self._content.get(each.key, (0, {}))
            if at > each.fence:
                refused.add(each.key)
            elif content.get("u") != each.tag:
                missing.add(each.key)
            else:
                self._content[each.key] = at, content | {"r": each.told}
        return NotRenewed(frozenset(missing), frozenset(refused))

    def put(self, write: Write) -> bool:
        """Whether the write was not refused."""
        at, content = self._content.get(write.key, (0, {}))
        if at > write.fence:
            return False
        if write.key == self._keys.model(self._world.model) and content and at == write.fence:
            before, after = (decode_as(VersionState, raw) for raw in (content["v"], write.fields["v"]))
            self._world.checks.view_written(before, after)
        self._content[write.key] = write.fence, dict(write.fields) if write.whole else content | dict(write.fields)
        return True


class ViewLine:
    """See ``View``."""

    def __init__(self, worker: TrackerWorker, registry_id: str) -> None:
        self.keys = Keys(registry_id)
        self._worker, self._world = worker, worker.world

    async def take_fence(self) -> int:
        """See ``View``."""
        return await self._asked(self._world.redis.take_fence)

    async def write(self, batch: Batch) -> int:
        """See ``View``."""
        return await self._asked(lambda: sum(not self._world.redis.put(write) for write in batch.writes))

    async def renew(self, renewals: Sequence[Renewal]) -> NotRenewed:
        """See ``View``."""
        return await self._asked(lambda: self._world.redis.renew(renewals))

    async def close(self) -> None:
        """Nothing to close."""

    async def _asked(self, question: Callable[[], T]) -> T:
        world = self._world
        await asyncio.sleep(world.rng.uniform(0.0005, 0.01))
        if not self._worker.acts() or world.fault("view not written"):
            await asyncio.sleep(world.rng.uniform(0.1, 2.0))
            raise RedisUnavailable("away")
        answer = question()
        if world.fault("view written unheard"):
            await asyncio.sleep(world.rng.uniform(0.1, 2.0))
            raise RedisUnavailable("no answer")
        return answer
