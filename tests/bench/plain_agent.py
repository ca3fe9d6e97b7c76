"""What the tracker is compared with: a plain Faust agent that writes one table row a message, as raw bytes."""

import asyncio
from typing import Any

from modelcast.infra.kafka.faust_app import BYTES, make_app, run_app, stop_on_signals
from modelcast.infra.kafka.faust_consumer import PositionedApp
from modelcast.infra.settings import Settings, load_settings
from modelcast.infra.telemetry.health import HealthServer
from modelcast.infra.telemetry.metrics import FOLDED_PODS
from modelcast.schemas.topics import Topic


def build(settings: Settings) -> PositionedApp:
    """The app: model to the last message."""
    app = make_app(settings, "plain", table_standby_replicas=0)
    table: Any = app.Table("last", key_type=bytes, value_type=bytes)

    @app.agent(app.topic(str(Topic.MODEL_ACKS), schema=BYTES), concurrency=1, name="plain")
    async def plain(stream: Any) -> None:
        async for event in stream.events():
            table[event.key] = event.value
            FOLDED_PODS.inc()

    return app


async def main() -> None:
    """Run until stopped."""
    settings = load_settings()
    with HealthServer(settings.daemon.host, settings.daemon.port):
        await run_app(lambda: build(settings), settings, stop=stop_on_signals())


if __name__ == "__main__":
    asyncio.run(main())
