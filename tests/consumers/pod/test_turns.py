"""A server whose swap has a gap loads one model at a time, whoever orders it; any other loads several side by side."""

import asyncio
from pathlib import Path

import pytest

from modelcast.consumers.pod.admission.ledger import Ledger
from modelcast.consumers.pod.engine import Capabilities, LossListener, Served
from modelcast.consumers.pod.repository import Repository
from modelcast.consumers.pod_clients.port import LoadOrder
from modelcast.infra.telemetry.metrics import PodMetrics
from modelcast.schemas.digests import sha256_of

SWAP_SECONDS = 0.05


class EngineInMemory:
    """Serves whatever it is told, and knows how many swaps were under way at once."""

    def __init__(self, *, gapless: bool) -> None:
        self.capabilities = Capabilities("counted", gapless=gapless, watch_seconds=None)
        self.memory: dict[str, Served] = {}
        self.under_way = self.most_under_way = 0

    async def start(self, listener: LossListener) -> None:
        """Nothing to start."""

    async def prepare(self, order: LoadOrder) -> None:
        """Everything is there."""

    async def swap(self, order: LoadOrder) -> Served:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(SWAP_SECONDS)
        self.under_way -= 1
        self.memory[order.model] = Served(order.version, order.manifest_digest, "memory")
        return self.memory[order.model]

    async def serving(self, model: str) -> Served | None:
        return self.memory.get(model)

    async def retire(self, model: str) -> None:
        self.memory.pop(model, None)

    async def aclose(self) -> None:
        """Nothing to close."""


@pytest.mark.parametrize(("gapless", "at_once"), [(False, 1), (True, 3)])
async def test_models_of_one_server_are_swapped_one_after_the_other_where_a_swap_has_a_gap(
    tmp_path: Path, gapless: bool, at_once: int
) -> None:
    engine = EngineInMemory(gapless=gapless)
    repository = Repository(engine, Ledger(tmp_path), PodMetrics(), grace_seconds=0.0)
    await repository.supervisor.start()
    models = ("fraud", "spam", "churn")
    orders = [LoadOrder(model, 1, sha256_of(model.encode()), 1, 1, "registry") for model in models]
    await asyncio.gather(*(repository.load(order) for order in orders))
    assert engine.most_under_way == at_once
    assert set(engine.memory) == set(models)
    assert repository.supervisor.trouble == ""
    await repository.supervisor.close()
