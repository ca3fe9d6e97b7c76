"""A companion of kind webhook that kills itself at a step of version 2, or of an unloading: ``DIES_AT`` names it."""

import os
import signal
import threading
from pathlib import Path

from modelcast.consumers.companion import __main__ as companion
from modelcast.consumers.companion import kinds, placing
from modelcast.consumers.companion.delivery import Delivered
from modelcast.consumers.companion.engines.webhook import WebhookEngine
from modelcast.consumers.pod.engine import Served
from modelcast.consumers.pod_clients.port import LoadOrder

copy = placing._copy


def dies(step: str, version: int = 2) -> None:
    if os.environ["DIES_AT"] == step and version == 2:
        os.kill(os.getpid(), signal.SIGKILL)


class DyingEngine(WebhookEngine):
    async def prepare(self, order: LoadOrder) -> None:
        dies("ordered", order.version)
        await super().prepare(order)
        dies("placed", order.version)

    async def send_load(self, delivered: Delivered) -> None:
        dies("noted", delivered.order.version)
        await super().send_load(delivered)
        dies("loaded", delivered.order.version)

    async def swap(self, order: LoadOrder) -> Served:
        served = await super().swap(order)
        dies("read back", order.version)
        return served

    async def retire(self, model: str) -> None:
        dies("to unload")
        await super().retire(model)
        dies("unloaded")


def dying_copy(source: Path, target: Path, cancel: threading.Event, *, durable: bool) -> None:
    copy(source, target, cancel, durable=durable)
    dies("copying", 2 if "-2-" in target.parent.name else 1)


if __name__ == "__main__":
    kinds.WebhookEngine = DyingEngine  # type: ignore[misc]
    placing._copy = dying_copy
    companion.main()
