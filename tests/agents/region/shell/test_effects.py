"""What a pod answers that has left meanwhile is no event; what it answers else keeps what people can do."""

import asyncio

import structlog

from modelcast.agents.region.decider.events_and_effects import LoadBroken, PodRead
from modelcast.agents.region.decider.snapshots import ERROR_KEPT_MAX
from modelcast.agents.region.ownership.owned_state import OwnedState
from modelcast.agents.region.ownership.state_parts import StateTurn
from modelcast.agents.region.shell.effects import EffectRunner
from modelcast.consumers.pod_clients.port import LoadFailed, LoadOrder, PodReading
from modelcast.infra.stores.memory_store import MemoryStore
from tests.agents.region.scene import PodInMemory, Scene
from tests.agents.region.words import MODEL, REGION, REGISTRY, Log, digest

ORDER = LoadOrder(MODEL, 1, digest(1), 1, 1, REGISTRY)


class SlowPod(PodInMemory):
    """Answers reads, too, when its gate is open."""

    async def read(self, model: str, lane: str = "") -> PodReading:
        await self.gate.wait()
        return await super().read(model)


async def test_an_answer_on_its_way_from_a_pod_that_left_says_nothing_of_the_one_that_has_its_name() -> None:
    scene = Scene(Log())
    state = OwnedState(MemoryStore(), MODEL, REGION, "me")
    effects = EffectRunner(MODEL, scene.world, state, StateTurn(), structlog.get_logger())
    scene.pods["p"] = old = SlowPod("p")
    old.gate.clear()
    asked = [asyncio.create_task(effects.read("p")), asyncio.create_task(effects.load("p", ORDER))]
    await asyncio.sleep(0)
    scene.pods["p"] = SlowPod("p")
    old.gate.set()
    assert await asyncio.gather(*asked) == [None, None]
    assert isinstance(await effects.read("p"), PodRead)
    del scene.pods["p"]
    assert await effects.read("p") is None
    scene.threads.shutdown()


class FullPod(PodInMemory):
    """Has no room, and says so at length."""

    async def load(self, order: LoadOrder) -> None:
        raise LoadFailed("a long traceback " * 100, code="out_of_resources", hint="give the pod more memory")


async def test_what_a_person_can_do_is_told_of_a_pod_however_long_its_reason() -> None:
    scene = Scene(Log())
    state = OwnedState(MemoryStore(), MODEL, REGION, "me")
    effects = EffectRunner(MODEL, scene.world, state, StateTurn(), structlog.get_logger())
    scene.pods["p"] = FullPod("p")
    event = await effects.load("p", ORDER)
    assert isinstance(event, LoadBroken)
    assert len(event.message) < ERROR_KEPT_MAX
    assert event.message.endswith("(give the pod more memory)")
    scene.threads.shutdown()
