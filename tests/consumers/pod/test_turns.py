"""A pod loads one model at a time, whoever orders it; at its start, and where nothing is lost by it, several."""

import asyncio
from pathlib import Path

import pytest

from modelcast.consumers.pod.engine import Capabilities, LossListener, Served
from modelcast.consumers.pod.ledger import Ledger
from modelcast.consumers.pod.repository import Repository
from modelcast.consumers.pod_clients.port import LoadOrder
from modelcast.infra.telemetry.metrics import PodMetrics
from modelcast.schemas.digests import sha256_of
from tests.support.waiting import until_async

SWAP_SECONDS = 0.2
MODELS = ("fraud", "spam", "churn")


def order(model: str, version: int) -> LoadOrder:
    return LoadOrder(model, version, sha256_of(f"{model}{version}".encode()), version, 1, "registry")


class EngineInMemory:
    """Serves whatever it is told, and knows how many swaps were under way at once."""

    def __init__(self, *, gapless: bool, side_by_side: bool = False) -> None:
        self.capabilities = Capabilities("counted", gapless=gapless, watch_seconds=None, side_by_side=side_by_side)
        self.memory: dict[str, Served] = {}
        self.under_way = self.most_under_way = 0
        self.holds = ""  # a model whose swap ends once ``released`` is set
        self.released = asyncio.Event()

    async def start(self, listener: LossListener) -> None:
        """Nothing to start."""

    async def prepare(self, order: LoadOrder) -> None:
        """Everything is there."""

    async def swap(self, order: LoadOrder) -> Served:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await (self.released.wait() if order.model == self.holds else asyncio.sleep(SWAP_SECONDS))
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
    await asyncio.gather(*(repository.load(order(model, 1)) for model in MODELS))
    assert engine.most_under_way == at_once
    assert set(engine.memory) == set(MODELS)
    assert repository.supervisor.trouble == ""
    await repository.supervisor.close()


@pytest.mark.parametrize(("side_by_side", "at_once"), [(False, 1), (True, 3)])
async def test_what_serves_is_replaced_one_model_after_the_other_though_two_owners_order_at_once(
    tmp_path: Path, side_by_side: bool, at_once: int
) -> None:
    engine = EngineInMemory(gapless=True, side_by_side=side_by_side)
    repository = Repository(engine, Ledger(tmp_path), PodMetrics(), grace_seconds=0.0)
    for model in MODELS:
        await repository.load(order(model, 1))
    engine.most_under_way = 0
    await asyncio.gather(*(repository.load(order(model, 2)) for model in MODELS))
    assert engine.most_under_way == at_once
    assert {served.version for served in engine.memory.values()} == {2}
    await repository.supervisor.close()


async def test_what_was_lost_is_brought_back_while_another_model_is_loaded(tmp_path: Path) -> None:
    engine = EngineInMemory(gapless=True)
    repository = Repository(engine, Ledger(tmp_path), PodMetrics(), grace_seconds=0.0)
    for model in MODELS:
        await repository.load(order(model, 1))
    engine.most_under_way, engine.holds = 0, "spam"
    load = asyncio.create_task(repository.load(order("spam", 2)))
    await until_async(lambda: engine.under_way == 1, "it loads")
    repository.supervisor.lost("fraud", "its worker process died")
    await until_async(lambda: repository.supervisor.trouble == "", "what was lost is back")
    assert not load.done()
    engine.released.set()
    await load
    assert engine.most_under_way == 2
    await repository.supervisor.close()
