"""A region daemon and three pods: one pod after the other, with pauses, stopped by the first that refuses."""

from collections.abc import Callable

import pytest

from modelcast.producers import Commander, Publisher
from modelcast.schemas.states import State
from tests.agents.region.stack import Stack, Topics
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.soak, pytest.mark.timeout(300)]
PAUSE_SECONDS = 1.5


def test_pods_get_a_version_one_by_one_and_the_first_that_refuses_stops_it_until_a_person_goes_on(
    make_stack: Callable[..., Stack],
) -> None:
    stack = make_stack(
        pods_per_region=3,
        extra={
            "MODELCAST_REGIONS__EU__ROLLOVER__AT_ONCE": "1",
            "MODELCAST_REGIONS__EU__ROLLOVER__PAUSE_SECONDS": str(PAUSE_SECONDS),
            "MODELCAST_REGIONS__EU__ROLLOVER__STOP_AFTER_FAILURES": "1",
        },
    )
    topics = Topics(stack.settings)
    try:
        agent = stack.agent()
        until(lambda: agent.said("partitions assigned"), "the agent runs")
        with Publisher(stack.settings) as publisher, Commander(stack.settings) as commander:
            publisher.publish("fraud", stack.model(1))
            until(lambda: topics.serving("fraud", 1, pods=3), "version 1 serves: there was nothing to lose")
            publisher.publish("fraud", stack.model(2))
            until(lambda: topics.serving("fraud", 2, pods=3), "version 2 serves")
            of_two = [ack for ack in topics.acks if ack.generation == 2]
            serving = [sum(pod.version == 2 for pod in ack.pods) for ack in of_two]
            assert sorted(set(serving)) == [0, 1, 2, 3]  # never two at once
            done = [next(a.reported_at_us for a in of_two if sum(p.version == 2 for p in a.pods) == n) for n in (1, 3)]
            assert (done[1] - done[0]) / 1e6 >= 2 * PAUSE_SECONDS * 0.9  # reports may lag behind a little
            assert any("paused between two batches until" in ack.rollover for ack in of_two)

            other = stack.root / "no-model"
            other.mkdir()
            (other / "notes.txt").write_text("of another kind")
            publisher.publish("fraud", other)
            until(lambda: (a := topics.latest("fraud")) and "rollover stopped" in a.error, "it is stopped")
            ack = topics.latest("fraud")
            assert ack is not None
            assert ack.state is State.FAILED
            assert [pod.version for pod in ack.pods] == [2, 2, 2]
            assert 'modelcast_rollover_stopped{model="fraud"} 1.0' in agent.get("/metrics")[1]
            until(lambda: (m := stack.memory("fraud")) and m.halt, "the region's bucket knows")

            agent.stop()
            heir = stack.agent(worker="b")
            until(lambda: (a := topics.latest("fraud")) and a.epoch == 2 and "rollover stopped" in a.error, "b knows")
            assert not heir.said("a pod could not load")
            commander.rollback("fraud", to=1, reason="the third is of another kind")
            until(lambda: topics.serving("fraud", 1, pods=3), "version 1 serves again")
            assert 'modelcast_rollover_stopped{model="fraud"} 0.0' in heir.get("/metrics")[1]
    finally:
        topics.close()
