"""One region with two pods, on a real Kafka and a real S3 server."""

import pytest

from modelcast.producers import Publisher
from modelcast.schemas.states import State
from tests.agents.region.stack import Stack, Topics, states, wait_until

pytestmark = pytest.mark.integration


def test_a_publication_is_served_by_every_pod_and_said_so(stack: Stack, topics: Topics, publisher: Publisher) -> None:
    agent = stack.agent()
    wait_until(lambda: agent.said("partitions assigned"), "the agent runs")
    for version in (1, 2):
        publisher.publish("fraud", stack.model(version))
        wait_until(lambda version=version: topics.serving("fraud", version), f"version {version} serves on both pods")
    ack = topics.latest("fraud")
    assert ack is not None
    assert (ack.generation, ack.version, ack.staged_version, ack.epoch) == (2, 2, 2, 1)
    assert all(p.generation == 2 and p.manifest_digest == ack.manifest_digest for p in ack.pods)
    assert [s for g, s in states(topics, "fraud") if g == 2][-1] is State.SERVING
    assert {h.worker for h in topics.heartbeats} == {"a"}
    wait_until(lambda: (m := stack.memory("fraud")) and m.served and m.served.version == 2, "the region remembers it")
