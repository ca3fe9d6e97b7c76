"""When a pod that starts counts as ready: what its region serves, what it served before, and what it can load."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio
import stamina

from modelcast.consumers.pod import startup
from modelcast.consumers.pod.config import Aspired
from modelcast.consumers.pod.engine import Capabilities, LossListener, Served
from modelcast.consumers.pod.ledger import Ledger
from modelcast.consumers.pod.lifecycle import Lifecycle, Phase
from modelcast.consumers.pod.repository import Repository
from modelcast.consumers.pod.startup import Startup
from modelcast.consumers.pod_clients.port import LoadFailed, LoadOrder, Proof
from modelcast.infra.telemetry.metrics import PodMetrics
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import StoreUnavailable
from tests.support.waiting import until_async


def order(model: str, version: int) -> LoadOrder:
    return LoadOrder(model, version, sha256_of(f"{model}{version}".encode()), version, 1, "registry")


class Engine:
    """Loads whatever is not ``missing``, by model and version."""

    capabilities = Capabilities("idle", gapless=True, watch_seconds=None)

    def __init__(self) -> None:
        self.missing: set[tuple[str, int]] = set()
        self.proof: Proof = "bytes"
        self.memory: dict[str, Served] = {}

    async def start(self, listener: LossListener) -> None:
        """Nothing to start."""

    async def prepare(self, order: LoadOrder) -> None:
        if (order.model, order.version) in self.missing:
            raise LoadFailed("not here", code="artifact_missing")

    async def swap(self, order: LoadOrder) -> Served:
        self.memory[order.model] = Served(order.version, order.manifest_digest, self.proof)
        return self.memory[order.model]

    async def serving(self, model: str) -> Served | None:
        return self.memory.get(model)

    async def retire(self, model: str) -> None:
        self.memory.pop(model, None)

    async def aclose(self) -> None:
        """Nothing to close."""


@dataclass
class Source:
    """What the region serves; ``away``: nothing is known."""

    away: bool = False
    fault: Exception = field(default_factory=lambda: StoreUnavailable("no answer"))
    orders: list[LoadOrder] = field(default_factory=list)
    quarantined: frozenset[int] = frozenset()

    def aspired(self) -> Sequence[Aspired]:
        if self.away:
            raise self.fault
        return [Aspired(order, quarantined=self.quarantined) for order in self.orders]


class Pod:
    """The parts of a pod that its start concerns."""

    def __init__(self, folder: Path) -> None:
        self.engine, self.source, self.life = Engine(), Source(), Lifecycle()
        self.ledger = Ledger(folder)
        self.repository = Repository(self.engine, self.ledger, PodMetrics(), grace_seconds=0.0)
        self.task: asyncio.Task[None] | None = None

    def start(self) -> None:
        before = {model for model, entry in self.ledger.entries.items() if entry.served}
        self.task = asyncio.create_task(Startup("pod", self.source, before, self.repository, self.life).run())

    async def until(self, phase: Phase, *lacking: str) -> None:
        await until_async(
            lambda: (self.life.phase, self.life.lacking) == (phase, lacking),
            lambda: f"{phase} {lacking}, it is {self.life.phase} {self.life.lacking}",
            30,
        )

    async def close(self) -> None:
        if self.task:
            self.task.cancel()
            with suppress(asyncio.CancelledError):
                await self.task
        await self.repository.supervisor.close()
        self.ledger.close()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(startup, "ASK_AGAIN_SECONDS", 0.01)
    with stamina.set_testing(True):
        yield


@pytest_asyncio.fixture
async def served_before(tmp_path: Path) -> Path:
    """The state folder of a pod that has served ``m/1``."""
    pod = Pod(tmp_path)
    await pod.repository.load(order("m", 1))
    await until_async(lambda: (entry := pod.ledger.entries.get("m")) and entry.served, "it is recorded")
    await pod.close()
    return tmp_path


@pytest_asyncio.fixture
async def make(tmp_path: Path) -> AsyncIterator[Callable[[], Pod]]:
    made: list[Pod] = []

    def make() -> Pod:
        made.append(Pod(tmp_path))
        return made[-1]

    yield make
    for pod in made:
        await pod.close()


async def test_a_new_pod_waits_until_it_is_told_and_loads_that(make: Callable[[], Pod]) -> None:
    pod = make()
    pod.source.away, pod.source.orders = True, [order("m", 3), order("n", 1)]
    pod.start()
    await pod.until(Phase.INCOMPLETE, "what the region serves is not known: no answer")
    pod.source.away = False
    await pod.until(Phase.READY)
    assert {model: served.version for model, served in pod.engine.memory.items()} == {"m": 3, "n": 1}


async def test_a_region_that_serves_nothing_has_ready_pods(make: Callable[[], Pod]) -> None:
    pod = make()
    pod.start()
    await pod.until(Phase.READY)


async def test_a_pod_that_falls_back_to_what_it_served_is_not_ready_before_the_region_has_ordered(
    served_before: Path, make: Callable[[], Pod]
) -> None:
    pod = make()
    pod.source.orders, pod.engine.missing = [order("m", 2)], {("m", 2)}
    pod.start()
    await pod.until(Phase.INCOMPLETE, "m")
    assert pod.engine.memory["m"].version == 1
    pod.engine.missing.clear()
    await pod.repository.load(order("m", 2))
    await pod.until(Phase.READY)


async def test_a_pod_does_not_fall_back_to_a_quarantined_version(served_before: Path, make: Callable[[], Pod]) -> None:
    pod = make()
    pod.source.orders, pod.engine.missing = [order("m", 2)], {("m", 2)}
    pod.source.quarantined = frozenset({1})
    pod.start()
    await pod.until(Phase.INCOMPLETE, "m")
    assert pod.engine.memory == {}
    pod.engine.missing.clear()
    await pod.repository.load(order("m", 2))
    await pod.until(Phase.READY)


async def test_an_unloaded_model_is_not_lacking(make: Callable[[], Pod]) -> None:
    pod = make()
    pod.source.orders, pod.engine.missing = [order("m", 2)], {("m", 2)}
    pod.start()
    await pod.until(Phase.INCOMPLETE, "m")
    await pod.repository.unload("m", epoch=1, generation=3)
    await pod.until(Phase.READY)


async def test_a_pod_that_serves_goes_on_with_an_older_version_but_not_without_a_model(
    served_before: Path, make: Callable[[], Pod]
) -> None:
    pod = make()
    pod.source.away = True
    pod.source.orders, pod.engine.missing = [order("m", 2), order("n", 1)], {("m", 2), ("n", 1)}
    pod.start()
    await pod.until(Phase.READY)
    pod.source.away = False
    await pod.until(Phase.INCOMPLETE, "m", "n")
    pod.engine.missing.clear()
    await pod.repository.load(order("n", 1))
    await pod.repository.load(order("m", 2))
    await pod.until(Phase.READY)


async def test_a_pod_that_serves_stays_ready_while_it_follows(served_before: Path, make: Callable[[], Pod]) -> None:
    pod = make()
    pod.source.away, pod.source.orders, pod.engine.missing = True, [order("m", 2)], {("m", 2)}
    pod.start()
    await pod.until(Phase.READY)
    pod.source.away = False
    assert pod.task is not None
    await until_async(pod.task.done, "the start is over")
    assert (pod.life.phase, pod.engine.memory["m"].version) == (Phase.READY, 1)


async def test_a_model_that_nothing_confirms_is_lacking_and_why_is_said(make: Callable[[], Pod]) -> None:
    pod = make()
    pod.source.orders, pod.engine.proof = [order("m", 2)], "disk"
    pod.start()
    await pod.until(Phase.INCOMPLETE, "m: only its server's disk names version 2, which confirms nothing")
    assert pod.engine.memory["m"].version == 2


async def test_a_source_with_an_unforeseen_fault_is_asked_again(make: Callable[[], Pod]) -> None:
    pod = make()
    pod.source.orders, pod.source.away, pod.source.fault = [order("m", 1)], True, ValueError("no number")
    pod.start()
    await pod.until(Phase.INCOMPLETE, "what the region serves is not known: ValueError: no number")
    pod.source.away = False
    await pod.until(Phase.READY)
