"""The Faust app ``modelcast-region-<region>``: partitions in, records in; it decides nothing and downloads nothing."""

from typing import Any

from faust.types import TP, StreamT

from modelcast.agents.region.agent import RegionAgent
from modelcast.agents.region.intake import Heard, UpdateIntake
from modelcast.infra.kafka.faust_app import BYTES, make_app
from modelcast.infra.kafka.faust_consumer import PositionedApp
from modelcast.infra.settings import Settings
from modelcast.schemas.topics import MODEL_PARTITIONS, Topic

SESSION_TIMEOUT_SECONDS = 8.0
HEARTBEAT_SECONDS = 2.0
"""A dead worker's models are taken over in at most the sum of both and a rebalance, well under 15 s."""


def build_app(settings: Settings, region: str, agent: RegionAgent, intake: UpdateIntake) -> PositionedApp:
    """A new Faust app that passes partitions to ``agent`` and records to ``intake``."""
    app = make_app(
        settings,
        f"region-{region}",
        broker_session_timeout=SESSION_TIMEOUT_SECONDS,
        broker_heartbeat_interval=HEARTBEAT_SECONDS,
    )
    topic = app.topic(Topic.MODEL_UPDATES.value, schema=BYTES, partitions=MODEL_PARTITIONS)

    @app.agent(topic, concurrency=1, name=f"region-{region}-updates")
    async def updates(stream: StreamT[bytes]) -> None:
        async for event in stream.events():
            message = event.message
            appended_us = round(message.timestamp * 1_000_000)
            intake.take(Heard(message.value or b"", message.key or b"", message.partition, message.offset, appended_us))

    shares = app.topic(Topic.TRAFFIC_STATE.value, schema=BYTES, partitions=MODEL_PARTITIONS)

    @app.agent(shares, concurrency=1, name=f"region-{region}-shares")
    async def tables(stream: StreamT[bytes]) -> None:
        async for event in stream.events():
            intake.take_shares(event.message.key or b"")

    @app.on_partitions_assigned.connect
    async def on_assigned(sender: Any, /, *args: Any, **_: Any) -> None:
        assigned: set[TP] = args[0]
        agent.assigned(tp.partition for tp in assigned if tp.topic == Topic.MODEL_UPDATES)

    @app.on_partitions_revoked.connect
    async def on_revoked(sender: Any, /, *args: Any, **_: Any) -> None:
        agent.revoked()

    return app
