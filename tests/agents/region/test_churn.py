"""Pods that come, go, are replaced and come back older, in random order: a real reconciler and roster, in memory."""

import asyncio
import random
from dataclasses import replace

import pytest

from modelcast.agents.region.decider.replica import Replica
from modelcast.agents.region.roster import FleetRoster
from modelcast.agents.region.shell.reconciler import Reconciler
from modelcast.consumers.discovery.decider.merging import FleetView, LookFailed, Member, PodsFound, merge_look
from modelcast.consumers.discovery.port import PodAddress
from modelcast.consumers.pod_clients.port import LoadOrder, PodReading
from modelcast.schemas.states import State
from tests.agents.region.scene import SOON, PodInMemory, Reports, Scene
from tests.agents.region.words import MODEL, REGISTRY, Log, digest
from tests.support.waiting import until_async

NAMES = "abcd"
OLD = LoadOrder(MODEL, 1, digest(1), 1, 1, REGISTRY)


class Pod(PodInMemory):
    """Takes a moment for everything; may serve an old version from the start."""

    def __init__(self, name: str, rng: random.Random) -> None:
        super().__init__(name)
        self._rng = rng
        self.serves = OLD if rng.random() < 0.5 else None

    async def load(self, order: LoadOrder) -> None:
        await asyncio.sleep(self._rng.uniform(0.0, 0.02))
        await super().load(order)

    async def read(self, model: str, lane: str = "") -> PodReading:
        reading = await super().read(model)
        await asyncio.sleep(self._rng.uniform(0.0, 0.02))
        return reading


class Truthful(Reports):
    """Fails if the region is told to serve while one of its pods does not."""

    def __init__(self, pods: dict[str, Pod]) -> None:
        super().__init__()
        self._pods = pods
        self.lies: list[str] = []

    def changed(self, model: str, replica: Replica) -> None:
        super().changed(model, replica)
        if replica.state is State.SERVING and replica.target is not None:
            for name in replica.pods:
                serves = self._pods[name].serves
                if serves is None or serves.version != replica.target.version:
                    self.lies.append(f"{name} serves {serves}, not {replica.target.version}")


class Region:
    """What a worker is made of, for one model and one fleet."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.log = Log().publish(1)
        self.scene = Scene(self.log)
        self.pods: dict[str, Pod] = {}
        self.reports = Truthful(self.pods)
        self.view = FleetView()
        self.identity = 0
        self.there: dict[str, PodAddress] = {}
        self.roster = FleetRoster(["f"], [self.view], self._client, lambda known: self.reconciler.pods_changed(known))
        ports = replace(self.scene.world, pods=self.roster.pods, reporter=self.reports, roster=self.roster)
        self.reconciler = Reconciler(MODEL, ports, self.scene.state, self.scene.book, SOON, lambda _: None)

    def _client(self, member: Member) -> Pod:
        self.pods[member.endpoint.name] = Pod(member.endpoint.name, self.rng)
        return self.pods[member.endpoint.name]

    def looked(self, observed: PodsFound | LookFailed) -> None:
        self.view, _ = merge_look(self.view, observed, asyncio.get_running_loop().time())
        self.roster.looked(0, self.view)

    def something_happens(self) -> None:
        name, chance = self.rng.choice(NAMES), self.rng.random()
        if chance < 0.1:
            self.looked(LookFailed("away"))
            return
        if chance < 0.2:
            self.looked(PodsFound(()))
            return
        if chance < 0.3:
            self.log.publish(len(self.log.entries) + 1)
            self.reconciler.refresh()
        if chance < 0.5:
            self.there.pop(name, None)
        else:
            self.identity += 1
            self.there[name] = PodAddress(name, f"http://{name}:1", str(self.identity))
        if self.there:
            self.looked(PodsFound(tuple(self.there.values())))


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_pods_do_no_region_serves_before_all_do_and_in_the_end_all_do(seed: int) -> None:
    region = Region(seed)
    region.reconciler.start(REGISTRY, known_to_exist=True)
    await until_async(lambda: region.reconciler.replica, "claimed")
    for _ in range(60):
        region.something_happens()
        await asyncio.sleep(region.rng.uniform(0.0, 0.02))
    region.there["a"] = PodAddress("a", "http://a:1", "the last")
    region.looked(PodsFound(tuple(region.there.values())))
    version = len(region.log.entries)

    def done() -> bool:
        replica = region.reconciler.replica
        assert replica is not None
        return (
            replica.state is State.SERVING
            and set(replica.pods) == set(region.there)
            and {pod.serves.version for n in region.there if (pod := region.pods[n]).serves} == {version}
        )

    await until_async(done, lambda: f"version {version}: {region.reconciler.replica}", 30)
    assert region.reports.lies == []
    await region.reconciler.stop("the test ends")
    await region.roster.aclose()
    region.scene.threads.shutdown()
