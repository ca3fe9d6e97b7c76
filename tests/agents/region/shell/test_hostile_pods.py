"""A region all of whose pods answer nonsense: each has its reason, is tried again later, and no version is blamed."""

import asyncio

import pytest

from modelcast.agents.region.decider.snapshots import encoded
from modelcast.consumers.pod_clients.v2 import Timeouts, V2Pod
from modelcast.schemas.codec import decode
from modelcast.schemas.records import ModelAck
from modelcast.schemas.states import PodState, State
from tests.agents.region.scene import Scene
from tests.agents.region.words import MODEL, Log
from tests.consumers.pod_clients.hostile_urls import hostile_urls

pytestmark = [pytest.mark.integration, pytest.mark.soak, pytest.mark.timeout(60)]


async def test_pods_that_answer_nonsense_are_told_with_a_reason_and_blame_no_version() -> None:
    with hostile_urls() as urls:
        scene = Scene(Log().publish(1))
        hasty = Timeouts(connect=5.0, read=1.0, load=1.0)
        scene.pods.clear()
        for name, url in urls.items():
            scene.pods[name] = V2Pod(name, url, "token", hasty)  # type: ignore[assignment]
        await scene.start()

        def replica_told() -> bool:
            replica = scene.reports.last.get(MODEL)
            return replica is not None and all(
                view.error and (view.lost or view.failures > 1) for view in replica.pods.values()
            )

        await scene.until(replica_told, "each pod was tried, and failed")
        replica = scene.reports.last[MODEL]
        (page,) = [
            decode(value)
            for value, _ in encoded(
                replica, worker="w", sequence=1, now_us=10**15, now=asyncio.get_running_loop().time()
            )
        ]
        assert isinstance(page, ModelAck)
        assert {pod.pod for pod in page.pods} == urls.keys()
        assert {pod.state for pod in page.pods} <= {PodState.UNREACHABLE, PodState.FAILED, PodState.LOADING}
        assert all(pod.error for pod in page.pods)
        assert replica.state not in {State.QUARANTINED, State.SERVING}
        assert replica.facts.quarantined == ()
        await scene.end()
        for pod in scene.pods.values():
            await pod.aclose()
