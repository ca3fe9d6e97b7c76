"""Consumers without a group: every worker hears all heartbeats, and asks for the published states of its models."""

import asyncio
import time
from collections.abc import Callable, Iterable

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from modelcast.infra.kafka.faust_app import aiokafka_properties
from modelcast.infra.settings import Settings
from modelcast.schemas.topics import RECORD_SIZE_MAX, Topic

POLL_MS = 200
RETRY_SECONDS = 2.0
FETCH_WAIT_MS = 500
"""How long the broker holds a question to which there is no answer yet; news are never held back."""

HEARTBEATS = TopicPartition(str(Topic.REGION_HEARTBEATS), 0)

log = structlog.get_logger(__name__)

OnHeartbeat = Callable[[bytes, bytes | None, int, int, int | None], None]
"""(raw or b"" for a tombstone, key, offset, appended µs by Kafka's clock, µs by ours or None if it is an old one)."""


class Follower:
    """Reads the heartbeats from the beginning of the compacted topic, then follows it.

    ``version-state`` is not followed: most of what comes there is this worker's own word.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def run(self, on_heartbeat: OnHeartbeat, on_read: Callable[[], None]) -> None:
        """Follow the heartbeats until cancelled; a cluster that went away is waited for.

        ``on_read`` is called once those that lay there were heard.
        """
        warned = False
        while True:
            try:
                await self._follow(on_heartbeat, on_read)
            except (TimeoutError, KafkaError, OSError) as error:
                if not warned:
                    log.warning("can't follow heartbeats", error=repr(error))
                warned = True
                await asyncio.sleep(RETRY_SECONDS)

    async def published(self, partitions: Iterable[int], timeout_seconds: float) -> dict[str, bytes] | None:
        """What trackers have published so far in these partitions: model -> the newest VersionState, undecoded.

        Returns:
            None if it could not be read in ``timeout_seconds``.
        """
        return await self._newest(
            [TopicPartition(str(Topic.VERSION_STATE), number) for number in sorted(partitions)], timeout_seconds
        )

    async def probe_states(self, timeout_seconds: float) -> dict[str, bytes] | None:
        """What trackers have told of probes so far: partition -> the newest ProbeState, undecoded.

        Returns:
            None if it could not be read in ``timeout_seconds``.
        """
        return await self._newest([TopicPartition(str(Topic.PROBE_STATE), 0)], timeout_seconds)

    async def _newest(self, wanted: list[TopicPartition], timeout_seconds: float) -> dict[str, bytes] | None:
        deadline = time.monotonic() + timeout_seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                return await asyncio.wait_for(self._read(wanted), left)
            except (TimeoutError, KafkaError, OSError) as error:
                log.debug("what was published before can't be read now", error=repr(error))
            await asyncio.sleep(min(0.5, max(0.0, deadline - time.monotonic())))
        return None

    async def _read(self, wanted: list[TopicPartition]) -> dict[str, bytes]:
        """Everything that lies in ``wanted`` now."""
        found: dict[str, bytes] = {}
        consumer = self._consumer(fetch_wait_ms=20)
        try:
            await consumer.start()
            consumer.assign(wanted)
            ends = await consumer.end_offsets(wanted)
            unread = {partition for partition in wanted if ends[partition] > 0}
            while unread:
                batches = await consumer.getmany(*unread, timeout_ms=POLL_MS)
                for messages in batches.values():
                    for message in messages:
                        if message.key is not None and message.value is not None:
                            found[message.key.decode(errors="replace")] = message.value
                # The last records may have been compacted away: the position tells, not the messages.
                unread = {partition for partition in unread if await consumer.position(partition) < ends[partition]}
            return found
        finally:
            await consumer.stop()

    async def _follow(self, on_heartbeat: OnHeartbeat, on_read: Callable[[], None]) -> None:
        consumer = self._consumer(FETCH_WAIT_MS)
        try:
            await consumer.start()
            consumer.assign([HEARTBEATS])
            live_from = (await consumer.end_offsets([HEARTBEATS]))[HEARTBEATS]
            all_read = False
            while True:
                batches = await consumer.getmany(timeout_ms=POLL_MS)
                now_us = time.time_ns() // 1000
                for message in (message for messages in batches.values() for message in messages):
                    live_at_us = now_us if message.offset >= live_from else None
                    raw = message.value or b""
                    on_heartbeat(raw, message.key, message.offset, message.timestamp * 1000, live_at_us)
                if not all_read and (live_from == 0 or await consumer.position(HEARTBEATS) >= live_from):
                    all_read = True
                    on_read()
        finally:
            await consumer.stop()

    def _consumer(self, fetch_wait_ms: int) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **aiokafka_properties(self._settings),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=fetch_wait_ms,
            max_partition_fetch_bytes=4 * RECORD_SIZE_MAX,
        )
