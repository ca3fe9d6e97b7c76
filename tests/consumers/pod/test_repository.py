"""What a pod makes of a server that loses models, answers nonsense, or is slow to load or to let go."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from modelcast.consumers.pod.engine import Capabilities, LossListener, Served
from modelcast.consumers.pod.ledger import Ledger
from modelcast.consumers.pod.repository import Repository
from modelcast.consumers.pod.uninterrupted import uninterrupted
from modelcast.consumers.pod_clients.port import LoadFailed, LoadOrder, PodRefused, PodUnreachable, Proof
from modelcast.infra.telemetry.metrics import PodMetrics
from modelcast.schemas.digests import sha256_of
from tests.support.waiting import until_async


def order(version: int, model: str = "m") -> LoadOrder:
    return LoadOrder(model, version, sha256_of(f"{model}{version}".encode()), version, 1, "registry")


class Server:
    """An engine and the server that it drives, in one. What was told to it can't be stopped.

    Args:
        watch_seconds: see ``Capabilities``.
    """

    def __init__(self, watch_seconds: float | None = 0.01) -> None:
        self.capabilities = Capabilities("made up", gapless=True, watch_seconds=watch_seconds)
        self.memory: dict[str, Served] = {}
        self.prepared: dict[LoadOrder, LoadOrder] = {}
        self.loads: list[int] = []
        self.retirements = 0
        self.proof: Proof = "memory"
        self.fault: Exception | None = None  # of each question
        self.faults: dict[str, Exception] = {}  # of each call to do something, by its name
        self.held = asyncio.Event()  # a load of ``holds`` ends once it is set
        self.holds = -1

    async def start(self, listener: LossListener) -> None:
        self._raise("start")

    async def prepare(self, order: LoadOrder) -> None:
        self._raise("prepare")
        await asyncio.sleep(0)
        self.prepared[order] = order

    async def swap(self, order: LoadOrder) -> Served:
        async def load(wanted: LoadOrder) -> None:
            self.loads.append(wanted.version)
            self.memory[wanted.model] = Served(wanted.version, wanted.manifest_digest, self.proof)
            if wanted.version == self.holds:
                await self.held.wait()

        await uninterrupted(asyncio.ensure_future(load(self.prepared.pop(order))))
        return self.memory[order.model]

    async def serving(self, model: str) -> Served | None:
        if self.fault is not None:
            raise self.fault
        return self.memory.get(model)

    async def retire(self, model: str) -> None:
        self.retirements += 1
        self._raise("retire")
        self.memory.pop(model, None)

    async def aclose(self) -> None:
        """Nothing to close."""

    def _raise(self, call: str) -> None:
        if call in self.faults:
            raise self.faults[call]


Make = Callable[[Server], Repository]


@pytest_asyncio.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    made: list[Repository] = []

    def make(server: Server) -> Repository:
        made.append(Repository(server, Ledger(tmp_path), PodMetrics(), grace_seconds=0.0))
        return made[-1]

    yield make
    for repository in made:
        await repository.supervisor.close()


async def test_an_older_version_is_never_loaded_over_a_newer_one_while_an_order_waits_for_a_load_to_end(
    make: Make,
) -> None:
    server = Server()
    repository = make(server)
    await repository.supervisor.start()
    await repository.load(order(1))
    server.holds = 2
    overtaken = asyncio.create_task(repository.load(order(2)))
    await until_async(lambda: server.loads == [1, 2], "the server has the second")
    newest = asyncio.create_task(repository.load(order(3)))
    slot = repository.supervisor.slots["m"]
    await until_async(lambda: slot.stopping, "the newest waits")
    for _ in range(5):
        assert await repository.supervisor.confirmed(slot) is None
        await asyncio.sleep(0.01)
    server.held.set()
    await newest
    with pytest.raises(PodRefused, match="a newer order"):
        await overtaken
    await asyncio.sleep(0.05)
    assert server.loads == [1, 2, 3]
    assert slot.serving is not None
    assert slot.serving.order == order(3)


@pytest.mark.parametrize("watched", [True, False], ids=["another server", "workers of our own"])
async def test_a_model_that_was_lost_keeps_traffic_away_until_it_is_back(make: Make, watched: bool) -> None:
    server = Server(0.01 if watched else None)
    repository = make(server)
    await repository.supervisor.start()
    for model in ("m", "n"):
        await repository.load(order(1, model))
    assert repository.supervisor.trouble == ""
    server.faults["prepare"] = LoadFailed("no room", code="out_of_resources")
    del server.memory["m"]
    if not watched:
        repository.supervisor.lost("m", "its worker process died")
    supervisor = repository.supervisor
    await until_async(lambda: "no room" in supervisor.trouble, lambda: f"why not: {supervisor.trouble}")
    assert repository.supervisor.trouble == "m is being put back: version 1: no room"
    server.faults.clear()
    await until_async(lambda: supervisor.trouble == "", lambda: f"it is back: {supervisor.trouble}")
    assert set(server.memory) == {"m", "n"}


async def test_where_one_model_was_lost_the_others_of_that_server_are_asked_before_traffic_comes(make: Make) -> None:
    server = Server(1000.0)
    repository = make(server)
    for model in ("m", "n"):
        await repository.load(order(1, model))
    server.memory.clear()
    assert await repository.supervisor.confirmed(repository.supervisor.slots["m"]) is None
    await until_async(lambda: "m" in server.memory, "the first is back")
    assert repository.supervisor.trouble == "its server has lost m, perhaps more"
    assert await repository.supervisor.confirmed(repository.supervisor.slots["n"]) is None
    await until_async(lambda: "n" in server.memory, "so is the second")
    for slot in repository.supervisor.slots.values():
        await repository.supervisor.confirmed(slot)
    assert repository.supervisor.trouble == ""


@pytest.mark.parametrize("fault", [ValueError("no number"), OSError(5, "I/O error"), PodUnreachable("refused")])
async def test_the_watch_goes_on_whatever_an_engine_raises_and_the_reason_is_shown(
    make: Make, fault: Exception
) -> None:
    server = Server()
    repository = make(server)
    await repository.supervisor.start()
    await repository.load(order(1))
    server.fault = fault
    supervisor = repository.supervisor
    await until_async(lambda: str(fault) in supervisor.trouble, lambda: f"the reason: {supervisor.trouble}")
    server.memory.clear()
    server.fault = None
    await until_async(lambda: server.loads == [1, 1], "it is watched: what was lost is back")
    await until_async(lambda: repository.supervisor.trouble == "", "all is well")


async def test_a_fault_that_no_engine_names_fails_the_load_and_blames_no_version(make: Make) -> None:
    server = Server()
    repository = make(server)
    server.faults["prepare"] = ValueError("what is this")
    with pytest.raises(LoadFailed, match="ValueError: what is this") as caught:
        await repository.load(order(1))
    assert caught.value.code == "internal_error"


async def test_what_only_a_disk_names_has_reached_nothing(make: Make) -> None:
    server = Server()
    server.proof = "disk"
    repository = make(server)
    await repository.load(order(1))
    assert repository.supervisor.slots["m"].reached == -1
    assert repository.supervisor.trouble == "m: only its server's disk names version 1, which confirms nothing"
    server.proof = "memory"
    await repository.load(order(2))
    assert (repository.supervisor.slots["m"].reached, repository.supervisor.trouble) == (2, "")


async def test_an_unload_that_fails_is_tried_again_until_the_server_lets_go(make: Make) -> None:
    server = Server()
    repository = make(server)
    await repository.supervisor.start()
    await repository.load(order(1))
    server.faults["retire"] = LoadFailed("no answer", code="unreachable")
    with pytest.raises(LoadFailed, match="no answer"):
        await repository.unload("m", epoch=1, generation=2)
    assert repository.supervisor.slots["m"].reason == "not unloaded: no answer"
    server.fault = PodUnreachable("no answer")
    await until_async(lambda: server.retirements >= 3, "it is tried again")
    server.faults.clear()
    await until_async(lambda: not server.memory, "it is gone")
    assert (repository.supervisor.slots["m"].reason, repository.supervisor.trouble) == ("unloaded", "")


async def test_a_new_order_ends_the_attempts_to_unload(make: Make) -> None:
    server = Server()
    repository = make(server)
    await repository.load(order(1))
    server.faults["retire"] = OSError(13, "Permission denied")
    with pytest.raises(LoadFailed, match="Permission denied"):
        await repository.unload("m", epoch=1, generation=2)
    await repository.load(order(3))
    attempts = server.retirements
    server.faults.clear()
    await asyncio.sleep(0.3)
    assert (server.retirements, set(server.memory)) == (attempts, {"m"})


async def test_a_server_that_never_unloads_is_not_asked_again(make: Make) -> None:
    server = Server()
    repository = make(server)
    await repository.load(order(1))
    server.faults["retire"] = LoadFailed("takes no unload", code="unsupported")
    with pytest.raises(LoadFailed, match="takes no unload"):
        await repository.unload("m", epoch=1, generation=2)
    await asyncio.sleep(0.3)
    assert server.retirements == 1


class RemoteServer(Server):
    """One that may be away."""

    def __init__(self) -> None:
        super().__init__()
        self.away = "connection refused"
        self.asked = 0

    async def reach_server(self) -> None:
        self.asked += 1
        if self.away:
            raise PodUnreachable(self.away)


async def test_a_pod_without_models_takes_no_traffic_while_its_server_is_away(make: Make) -> None:
    server = RemoteServer()
    supervisor = make(server).supervisor
    assert supervisor.trouble == "its server has not answered yet"
    await supervisor.start()
    await until_async(lambda: "connection refused" in supervisor.trouble, "it is told why")
    server.away = ""
    await until_async(lambda: not supervisor.trouble, "it answers")
    server.away = "connection reset"
    await until_async(lambda: "connection reset" in supervisor.trouble, "it went away again")


async def test_a_server_that_serves_is_asked_for_its_models_alone(make: Make) -> None:
    server = RemoteServer()
    repository = make(server)
    await repository.supervisor.start()
    await repository.load(order(1))
    assert not repository.supervisor.trouble
    asked = server.asked
    await asyncio.sleep(0.1)
    assert server.asked <= asked + 1, "one question may have been under way"
