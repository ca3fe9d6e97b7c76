"""The event overtakes the bytes: the region says what it waits for, keeps serving, and converges when they come."""

import pytest

from modelcast.infra.stores.configured import origin_store
from modelcast.producers import Publisher
from modelcast.schemas import keys
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.states import State
from tests.agents.region.stack import Stack, Topics
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


@pytest.mark.soak
@pytest.mark.parametrize("late", ["blobs", pytest.param("manifest", marks=pytest.mark.soak)])
def test_bytes_that_come_later_than_the_event_are_waited_for(
    late: str, stack: Stack, topics: Topics, publisher: Publisher
) -> None:
    publisher.publish("fraud", stack.model(1))
    agent = stack.agent()
    until(lambda: topics.serving("fraud", 1), "version 1 serves", 120)
    # Stopped while the second is published, so that none of its bytes can be there when it looks.
    agent.stop()
    published = publisher.publish("fraud", stack.model(2))
    store, manifest = origin_store(stack.settings), keys.manifest(published.manifest_digest)
    gone = (
        [manifest]
        if late == "manifest"
        else [keys.blob(sha256_of(file.read_bytes())) for file in stack.model(2).iterdir()]
    )
    held = {key: found.body for key in gone if (found := store.get(key, size_max=1 << 24))}
    assert set(held) == set(gone)
    for key in gone:
        store.delete(key)

    agent.start()
    until(lambda: (a := topics.latest("fraud")) and a.state is State.FAILED, "it says that it waits", 120)
    ack = topics.latest("fraud")
    assert ack is not None
    assert (ack.version, ack.staged_version, {pod.version for pod in ack.pods}) == (2, 1, {1})
    assert ack.error is not None

    for key, body in held.items():
        store.put(key, body)
    until(lambda: topics.serving("fraud", 2), "version 2 serves", 120)
