"""An app that starts, or is given partitions, while records are produced: every record comes, none is passed over."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest

from modelcast.infra.kafka.admin import create_topics
from modelcast.infra.kafka.client import make_producer
from modelcast.infra.kafka.faust_app import BYTES, make_app, run_app
from modelcast.infra.kafka.faust_consumer import PositionedApp
from modelcast.infra.settings import KafkaSettings, Settings
from modelcast.schemas.topics import MODEL_PARTITIONS, TopicSpec
from tests.support.lanes import often

pytestmark = pytest.mark.integration

RESTARTS = often(3, 1)
WITHIN_SECONDS = 25.0
WINDOW_SECONDS = 0.4
names = count()


@dataclass
class Reader:
    """An app that only notes what it is given. Each start of it passes through a window that this test holds open."""

    settings: Settings
    name: str = field(default_factory=lambda: f"reader-{next(names)}")
    got: list[int] = field(default_factory=list)
    sent: int = 0

    def __post_init__(self) -> None:
        self.topic, self.rows = f"{self.name}-in", f"modelcast-{self.name}-rows-changelog"
        compacted = {"cleanup.policy": "compact"}
        create_topics(
            self.settings,
            specs=[TopicSpec(self.topic, MODEL_PARTITIONS, {}), TopicSpec(self.rows, MODEL_PARTITIONS, compacted)],
        )
        self.producer = make_producer(self.settings)

    def produce(self, every: int = 1) -> None:
        """Two records more in every partition, or in every other one."""
        for _ in range(2):
            for partition in range(0, MODEL_PARTITIONS, every):
                self.producer.produce(self.topic, key=b"k", value=str(self.sent).encode(), partition=partition)
                self.sent += 1
        assert self.producer.flush(20) == 0

    def write_rows(self) -> None:
        """Something that a start has to recover."""
        for partition in range(MODEL_PARTITIONS):
            self.producer.produce(self.rows, key=str(partition).encode(), value=b"row", partition=partition)
        assert self.producer.flush(20) == 0

    def build(self) -> PositionedApp:
        app = make_app(self.settings, self.name)
        table: Any = app.Table("rows", key_type=bytes, value_type=bytes, on_changelog_event=slowly)

        @app.agent(app.topic(self.topic, schema=BYTES), concurrency=1, name="reading")
        async def reading(stream: Any) -> None:
            async for event in stream.events():
                assert str(event.message.partition).encode() in table, "a record came before its table was recovered"
                self.got.append(int(event.message.value))

        async def window(*_: Any, **__: Any) -> None:
            """The table is recovered, nothing was sought yet: records that come now wake a fetch that is under way."""
            await asyncio.to_thread(self.produce)
            await asyncio.sleep(WINDOW_SECONDS)

        connect: Any = app.on_rebalance_complete.connect
        connect(window, weak=False)
        return app

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        task = asyncio.create_task(run_app(self.build, self.settings, stop=stop))
        try:
            yield
        finally:
            stop.set()
            await asyncio.wait_for(task, 60)

    async def has_more(self) -> None:
        """Wait until any record came."""
        known = len(self.got)
        async with asyncio.timeout(WITHIN_SECONDS):
            while len(self.got) == known:
                await asyncio.sleep(0.001)

    async def has_all(self) -> None:
        """Wait until every record came."""
        deadline = asyncio.get_running_loop().time() + WITHIN_SECONDS
        while set(self.got) != set(range(self.sent)):
            missing = sorted(set(range(self.sent)) - set(self.got))
            assert asyncio.get_running_loop().time() < deadline, f"{len(missing)} of {self.sent} missing: {missing}"
            await asyncio.sleep(0.05)


async def slowly(_: Any) -> None:
    """A row takes a moment, so that the next fetch is under way when the last one is recovered."""
    await asyncio.sleep(0.01)


@pytest.fixture
def reader(kafka: str) -> Reader:
    return Reader(Settings(kafka=KafkaSettings(bootstrap_servers=kafka, timeout_seconds=20)))


async def test_records_of_before_and_within_the_recovery_come_although_nothing_was_committed(reader: Reader) -> None:
    reader.write_rows()
    reader.produce(every=2)
    async with reader.running():
        await reader.has_all()


async def test_records_come_over_restarts_that_had_read_and_committed_only_a_part(reader: Reader) -> None:
    reader.write_rows()
    for number in range(RESTARTS):
        reader.produce(every=2 + number)
        async with reader.running():
            await reader.has_more()
    async with reader.running():
        await reader.has_all()


@pytest.mark.soak
async def test_records_come_although_partitions_change_hands_while_they_are_recovered(reader: Reader) -> None:
    reader.write_rows()
    reader.produce(every=2)
    async with reader.running():
        async with reader.running():
            await reader.has_more()
            reader.produce(every=3)
        await reader.has_all()
