"""The origin refuses for a while: the region says what is wrong, keeps serving, and converges by itself."""

from collections.abc import Iterator

import pytest

from modelcast.producers import Publisher
from modelcast.schemas.states import State
from tests.agents.region.stack import Stack, Topics
from tests.support.network.stormy_proxy import StormyProxy
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


@pytest.fixture
def stormy(stack: Stack) -> Iterator[StormyProxy]:
    with StormyProxy(stack.s3.endpoint_url) as proxy:
        yield proxy


@pytest.mark.parametrize("status", [403, *(pytest.param(status, marks=pytest.mark.soak) for status in (500, 503))])
def test_a_storm_of_the_origin_is_said_and_survived(
    status: int, stack: Stack, topics: Topics, publisher: Publisher, stormy: StormyProxy
) -> None:
    def storm_over(part: str) -> None:
        stormy.storm = lambda path: status if part in path else None

    def said_of(part: str) -> bool:
        """Whether a snapshot says that the second version can't be had, and why, while the first is served."""
        return any(
            ack.state is State.FAILED
            and all(word in (ack.error or "") for word in (str(status), part))
            and (ack.version, {pod.version for pod in ack.pods}) == (2, {1})
            for ack in topics.poll().acks
        )

    publisher.publish("fraud", stack.model(1))
    agent = stack.agent(MODELCAST_STORES__ORIGIN__ENDPOINT_URL=stormy.url, MODELCAST_REGIONS__EU__RECONCILE_SECONDS="1")
    until(lambda: topics.serving("fraud", 1), "version 1 serves", 120)

    storm_over("/")  # all of the origin, the log included
    publisher.publish("fraud", stack.model(2))
    until(
        lambda: any(str(status) in str(line["error"]) for line in agent.lines("the registry can't be followed now")),
        "it says that the registry can't be read",
        120,
    )
    assert topics.serving("fraud", 1)

    for part in ("/manifests/", "/blobs/"):
        storm_over(part)
        until(lambda part=part: said_of(part), f"it says that {part} can't be read", 120)  # type: ignore[misc]

    stormy.storm = lambda _: None
    until(lambda: topics.serving("fraud", 2), "version 2 serves", 180)
    assert agent.lines("the artifact arrived damaged") == []
    assert agent.alive
