"""The Faust app ``modelcast-tracker``: partitions, records and the table in; it decides nothing."""

from typing import Any

from modelcast.agents.tracker.agent import TrackerAgent
from modelcast.infra.kafka.faust_app import BYTES, make_app
from modelcast.infra.kafka.faust_consumer import PositionedApp
from modelcast.infra.settings import Settings
from modelcast.schemas.topics import Topic

APP_NAME = "tracker"
TABLE_NAME = "rows"
FETCH_BYTES_MAX = 8 * 1024 * 1024
"""Of a partition at once. A snapshot of 1,000 pods takes 120 KB; the more of a backlog is at hand, the more of it is
seen to be overtaken and is never decoded."""

CHANGELOG_CONFIG = {
    # Rewritten rows must be compacted soon, or a takeover would read gigabytes.
    "segment.ms": str(10 * 60 * 1000),
    "segment.bytes": str(16 * 1024 * 1024),
    "min.cleanable.dirty.ratio": "0.1",
}


def build_app(settings: Settings, agent: TrackerAgent) -> PositionedApp:
    """A new Faust app that passes partitions and records to ``agent``. Its table holds pages and announcements."""
    agent.begins_anew()
    app = make_app(settings, APP_NAME, table_standby_replicas=0, consumer_max_fetch_size=FETCH_BYTES_MAX)
    table: Any = app.Table(TABLE_NAME, key_type=bytes, value_type=bytes, extra_topic_configs=CHANGELOG_CONFIG)

    @app.agent(app.topic(str(Topic.MODEL_ACKS), schema=BYTES, allow_empty=True), concurrency=1, name="acks")
    async def acks(stream: Any) -> None:
        async for event in stream.events():
            await agent.ack(event.message, app.consumer.highwater(event.message.tp) or 0, table)

    @app.agent(app.topic(str(Topic.MODEL_UPDATES), schema=BYTES, allow_empty=True), concurrency=1, name="updates")
    async def updates(stream: Any) -> None:
        async for event in stream.events():
            await agent.intake.update(event.message, table)

    async def revoked(*_: Any, **__: Any) -> None:
        agent.revoked()

    async def recovered() -> None:
        topic = str(Topic.MODEL_ACKS)
        owned = frozenset(tp.partition for tp in app.consumer.assignment() if tp.topic == topic)
        await agent.recovered(owned, table)

    app.on_fetched = agent.fetched
    connect: Any = app.on_partitions_revoked.connect
    connect(revoked, weak=False)
    table.on_recover(recovered)
    return app
