"""A candidate beside the control: orders by lane, promotion without a load, and what a restart brings back."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from modelcast.consumers.pod.config import Aspired
from modelcast.consumers.pod.ledger import Ledger
from modelcast.consumers.pod.lifecycle import Lifecycle, Phase
from modelcast.consumers.pod.repository import Repository
from modelcast.consumers.pod.startup import Startup
from modelcast.consumers.pod_clients.port import CANDIDATE, LoadFailed, LoadOrder, PodRefused
from modelcast.infra.telemetry.metrics import PodMetrics
from tests.consumers.pod.traffic.laned_engine import LanedServer, order
from tests.support.waiting import until_async

PLACE = "m@candidate"


class Pod:
    """A repository on ``folder``; another one after it is the pod restarted."""

    def __init__(self, folder: Path, server: LanedServer) -> None:
        self.server, self.ledger, self.life = server, Ledger(folder), Lifecycle()
        self.repository = Repository(server, self.ledger, PodMetrics(), grace_seconds=0.0)

    def order(self, lane: str = "") -> LoadOrder | None:
        """By which the lane serves."""
        slot = self.repository.supervisor.slots.get(PLACE if lane else "m")
        return slot.serving.order if slot and slot.serving else None

    async def recorded(self, place: str, version: int) -> None:
        def is_recorded() -> bool:
            entry = self.ledger.entries.get(place)
            return entry is not None and entry.served is not None and entry.served.version == version

        await until_async(is_recorded, "the ledger holds what is served")

    async def close(self) -> None:
        await self.repository.supervisor.close()
        self.ledger.close()


@pytest_asyncio.fixture
async def restart(tmp_path: Path) -> AsyncIterator[Callable[[], Awaitable[Pod]]]:
    """Starts the pod; called again, ends it first. Its server starts empty."""
    pods: list[Pod] = []

    async def start() -> Pod:
        if pods:
            await pods[-1].close()
        pods.append(Pod(tmp_path, LanedServer()))
        return pods[-1]

    yield start
    await pods[-1].close()


@pytest_asyncio.fixture
async def pod(restart: Callable[[], Awaitable[Pod]]) -> Pod:
    """Serves 1, with candidate 2."""
    pod = await restart()
    await pod.repository.load(order(1))
    await pod.repository.load(order(2, lane=CANDIDATE))
    await pod.recorded("m", 1)
    await pod.recorded(PLACE, 2)
    return pod


async def test_a_candidate_is_loaded_and_unloaded_beside_the_control(pod: Pod) -> None:
    assert pod.server.versions == {"m": 1, PLACE: 2}
    await pod.repository.load(order(3, lane=CANDIDATE))
    assert pod.server.versions == {"m": 1, PLACE: 3}
    await pod.repository.unload("m", epoch=1, generation=4, lane=CANDIDATE)
    assert pod.server.versions == {"m": 1}
    assert pod.order() == order(1)


async def test_promotion_loads_nothing_and_keeps_the_old_version_for_the_way_back(pod: Pod) -> None:
    await pod.repository.load(order(2, 5))
    assert pod.server.versions == {"m": 2, PLACE: 1}
    assert pod.server.loads == [("m", 1), (PLACE, 2)]
    assert (pod.order(), pod.order(CANDIDATE)) == (order(2, 5), order(1, 5, lane=CANDIDATE))
    await pod.repository.load(order(1, 6))
    assert pod.server.versions == {"m": 1, PLACE: 2}
    assert len(pod.server.loads) == 2
    await pod.repository.unload("m", epoch=1, generation=7, lane=CANDIDATE)
    assert pod.server.versions == {"m": 1}


async def test_after_a_promotion_a_late_order_of_before_drives_the_old_version_from_no_lane(pod: Pod) -> None:
    await pod.repository.load(order(2, 5))
    for late in (order(2, lane=CANDIDATE), order(1)):
        with pytest.raises(PodRefused) as caught:
            await pod.repository.load(late)
        assert caught.value.code == "stale"
    await pod.repository.load(order(1, 5, lane=CANDIDATE))  # the region's own wish for the bake
    assert (pod.server.versions, len(pod.server.loads)) == ({"m": 2, PLACE: 1}, 2)


async def test_an_order_to_reload_is_no_promotion(pod: Pod) -> None:
    await pod.repository.load(order(2, 5, reload=True))
    assert pod.server.versions == {"m": 2, PLACE: 2}
    assert pod.server.loads[-1] == ("m", 2)


async def test_a_candidate_that_was_lost_is_loaded_by_the_promotion(pod: Pod) -> None:
    pod.server.missing.add(2)
    del pod.server.memory[PLACE]
    pod.repository.supervisor.lost(PLACE, "its worker process died")
    assert pod.repository.supervisor.trouble == "", "the control answers"
    pod.server.missing.clear()
    await pod.repository.load(order(2, 5))
    assert pod.server.versions["m"] == 2
    assert pod.server.loads[-1][1] == 2


async def test_no_control_waits_for_a_candidate_whose_load_hangs(pod: Pod) -> None:
    pod.server.hangs.add(3)
    hanging = asyncio.create_task(pod.repository.load(order(3, lane=CANDIDATE)))
    await until_async(lambda: pod.repository.supervisor.slots[PLACE].busy, "it is being loaded")
    await asyncio.sleep(0.02)
    await asyncio.wait_for(pod.repository.load(order(4)), 30)
    assert pod.server.versions == {"m": 4, PLACE: 2}
    await pod.repository.unload("m", epoch=1, generation=5, lane=CANDIDATE)
    with pytest.raises(PodRefused):
        await hanging


async def test_an_owner_that_was_replaced_in_one_lane_is_refused_in_the_other(pod: Pod) -> None:
    await pod.repository.load(order(2, 5, lane=CANDIDATE, epoch=3))
    for refused in (
        pod.repository.load(order(4, 9, epoch=2)),
        pod.repository.unload("m", epoch=2, generation=9),
    ):
        with pytest.raises(PodRefused, match="epoch 2 is lower than epoch 3") as caught:
            await refused
        assert caught.value.code == "stale"
    assert pod.server.versions == {"m": 1, PLACE: 2}


async def test_an_engine_without_lanes_refuses_a_candidate_with_the_reason(tmp_path: Path) -> None:
    class OneVersion(LanedServer):
        exchange = None  # type: ignore[assignment]

    pod = Pod(tmp_path, OneVersion())
    await pod.repository.load(order(1))
    with pytest.raises(LoadFailed, match="'in memory' holds one version of a model") as caught:
        await pod.repository.load(order(2, lane=CANDIDATE))
    assert caught.value.code == "unsupported"
    await pod.repository.unload("m", epoch=1, generation=2, lane=CANDIDATE)  # absent is fine
    assert (pod.server.versions, set(pod.ledger.entries)) == ({"m": 1}, {"m"})
    await pod.close()


class Source:
    """What the region serves."""

    def __init__(self, wanted: LoadOrder, quarantined: frozenset[int] = frozenset()) -> None:
        self._aspired = Aspired(wanted, quarantined=quarantined)

    def aspired(self) -> list[Aspired]:
        return [self._aspired]


async def started(pod: Pod, source: Source) -> None:
    await asyncio.wait_for(Startup("pod", source, {"m"}, pod.repository, pod.life).run(), 60)
    assert pod.life.phase is Phase.READY


async def test_a_restart_brings_both_lanes_back(pod: Pod, restart: Callable[[], Awaitable[Pod]]) -> None:
    after = await restart()
    await started(after, Source(order(1)))
    await until_async(lambda: after.server.versions == {"m": 1, PLACE: 2}, "both serve")
    assert (after.order(), after.order(CANDIDATE)) == (order(1), order(2, lane=CANDIDATE))


async def test_a_restart_after_the_promotion_brings_back_what_was_promoted_and_the_way_back(
    pod: Pod, restart: Callable[[], Awaitable[Pod]]
) -> None:
    await pod.repository.load(order(2, 5))
    after = await restart()
    await started(after, Source(order(2, 5)))
    await until_async(lambda: after.server.versions == {"m": 2, PLACE: 1}, "both serve")


@pytest.mark.parametrize("why", ["missing", "quarantined", "promoted meanwhile"])
async def test_a_pod_is_ready_without_its_candidate(pod: Pod, restart: Callable[[], Awaitable[Pod]], why: str) -> None:
    after = await restart()
    after.server.missing = {2} if why == "missing" else set()
    promoted = why == "promoted meanwhile"
    await started(after, Source(order(2, 5) if promoted else order(1), frozenset({2} if why == "quarantined" else ())))
    await asyncio.sleep(0.05)
    assert after.server.versions == {"m": 2 if promoted else 1}
