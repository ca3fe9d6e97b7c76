"""The Faust app ``modelcast-rollouts``: partitions and records in; it decides nothing."""

from typing import Any

from faust.types import TP

from modelcast.agents.rollout.agent import RolloutAgent
from modelcast.infra.kafka.faust_app import BYTES, make_app
from modelcast.infra.kafka.faust_consumer import PositionedApp
from modelcast.infra.settings import Settings
from modelcast.schemas.topics import MODEL_PARTITIONS, Topic

APP_NAME = "rollouts"


def build_app(settings: Settings, agent: RolloutAgent) -> PositionedApp:
    """A new Faust app that passes partitions and records to ``agent``."""
    app = make_app(settings, APP_NAME)
    counts_topic = app.topic(str(Topic.TRAFFIC_COUNTS), schema=BYTES, partitions=MODEL_PARTITIONS)
    updates_topic = app.topic(str(Topic.MODEL_UPDATES), schema=BYTES, partitions=MODEL_PARTITIONS)
    outcomes_topic = app.topic(str(Topic.OUTCOMES), schema=BYTES, partitions=MODEL_PARTITIONS)

    @app.agent(counts_topic, concurrency=1, name="rollout-counts")
    async def counts(stream: Any) -> None:
        async for event in stream.events():
            agent.report(event.message)

    @app.agent(outcomes_topic, concurrency=1, name="rollout-outcomes")
    async def outcomes(stream: Any) -> None:
        async for event in stream.events():
            agent.outcome(event.message)

    @app.agent(updates_topic, concurrency=1, name="rollout-updates")
    async def updates(stream: Any) -> None:
        async for event in stream.events():
            agent.update(event.message)

    @app.on_partitions_assigned.connect
    async def on_assigned(sender: Any, /, *args: Any, **_: Any) -> None:
        assigned: set[TP] = args[0]
        agent.assigned(tp.partition for tp in assigned if tp.topic == Topic.TRAFFIC_COUNTS)

    @app.on_partitions_revoked.connect
    async def on_revoked(sender: Any, /, *args: Any, **_: Any) -> None:
        await agent.revoked()

    return app
