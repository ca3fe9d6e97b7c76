"""A consumer without a group, in every worker: all heartbeats, and what trackers have said so far."""

import asyncio
import time
from collections.abc import Callable

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from modelcast.infra.faust_app import aiokafka_properties
from modelcast.infra.settings import Settings
from modelcast.schemas.topics import MODEL_PARTITIONS, RECORD_SIZE_MAX, Topic

POLL_MS = 200
RETRY_SECONDS = 2.0

HEARTBEATS = TopicPartition(str(Topic.REGION_HEARTBEATS), 0)
STATES = tuple(TopicPartition(str(Topic.VERSION_STATE), n) for n in range(MODEL_PARTITIONS))

log = structlog.get_logger(__name__)

OnHeartbeat = Callable[[bytes, bytes | None, int, int, int | None], None]
"""(raw, key, offset, appended µs by Kafka's clock, µs by ours or None if it is an old one)."""


class Follower:
    """Reads both topics from their beginning (they are compacted), then goes along."""

    def __init__(self, settings: Settings, on_heartbeat: OnHeartbeat) -> None:
        self._settings, self._on_heartbeat = settings, on_heartbeat
        self._consumer: AIOKafkaConsumer | None = None
        self._live_from = 0
        self.states: dict[str, bytes] = {}  # model -> the newest VersionState, undecoded

    async def run(self) -> None:
        """Run until cancelled; a cluster that went away is waited for."""
        told = False
        while True:
            try:
                await self._follow()
            except (TimeoutError, KafkaError, OSError) as error:
                if not told:
                    log.warning("can't follow heartbeats", error=repr(error))
                told = True
                await asyncio.sleep(RETRY_SECONDS)

    async def caught_up(self, timeout_seconds: float) -> bool:
        """Wait until everything that is on ``version-state`` now has been read; False if that took too long."""
        deadline = time.monotonic() + timeout_seconds
        ends: dict[TopicPartition, int] | None = None
        while time.monotonic() < deadline:
            try:
                if self._consumer is not None:
                    ends = ends or await self._consumer.end_offsets(list(STATES))
                    # asyncio.wait_for: a partition whose position is not known yet would wait for ever.
                    at = [await asyncio.wait_for(self._consumer.position(tp), 1.0) for tp in STATES]
                    if all(position >= ends[tp] for tp, position in zip(STATES, at, strict=True)):
                        return True
            except (TimeoutError, KafkaError, OSError):
                ends = None
            await asyncio.sleep(0.02)
        return False

    async def _follow(self) -> None:
        consumer = AIOKafkaConsumer(
            **aiokafka_properties(self._settings),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=100,
            max_partition_fetch_bytes=4 * RECORD_SIZE_MAX,
        )
        try:
            await consumer.start()
            consumer.assign([HEARTBEATS, *STATES])
            self._live_from = (await consumer.end_offsets([HEARTBEATS]))[HEARTBEATS]
            self._consumer = consumer
            while True:
                batches = await consumer.getmany(timeout_ms=POLL_MS)
                now_us = time.time_ns() // 1000
                for partition, messages in batches.items():
                    for message in messages:
                        self._take(partition, message, now_us)
        finally:
            self._consumer = None
            await consumer.stop()

    def _take(self, partition: TopicPartition, message: object, now_us: int) -> None:
        key, value = message.key, message.value  # type: ignore[attr-defined]
        if partition != HEARTBEATS:
            if key is not None and value is not None:
                self.states[key.decode(errors="replace")] = value
            return
        offset: int = message.offset  # type: ignore[attr-defined]
        live_at_us = now_us if offset >= self._live_from else None
        if value is not None:
            self._on_heartbeat(value, key, offset, message.timestamp * 1000, live_at_us)  # type: ignore[attr-defined]
