"""Announcements of models that nobody published, by the hundred: they cost little, and nobody waits for them."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from modelcast.infra.kafka.client import make_producer
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.stores.configured import origin_store
from modelcast.producers import Publisher
from modelcast.schemas.topics import Topic
from tests.agents.region.stack import Stack, Topics
from tests.support.network.slow_link import Network
from tests.support.network.stormy_proxy import StormyProxy
from tests.support.processes.daemon import Daemon
from tests.support.records.folding import in_statement
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

FLOOD = 300
ROUND_TRIP_SECONDS = 0.1


class CountingProxy(StormyProxy):
    """Counts what it is asked, by path; and hangs on what is held back."""

    def __init__(self, endpoint_url: str) -> None:
        super().__init__(endpoint_url)
        self.paths: list[str] = []
        self.hang = threading.Event()
        self.storm = self._note

    def _note(self, path: str) -> int | None:
        self.paths.append(path)
        if self.hang.is_set():
            time.sleep(30)
        return None


@pytest.fixture
def origin(stack: Stack) -> Iterator[CountingProxy]:
    with CountingProxy(stack.s3.endpoint_url) as proxy:
        yield proxy


def flood(stack: Stack, name: str, generation: int = 12) -> None:
    """Announce ``FLOOD`` models that the registry does not hold."""
    update = RegistryReader(origin_store(stack.settings)).tail("fraud").log.updates[1]
    producer = make_producer(stack.settings)
    for number in range(FLOOD):
        model = f"{name}-{number}"
        forged = replace(update, model=model, generation=generation, event_id=f"forged-{model}")
        producer.produce(str(Topic.MODEL_UPDATES), key=model.encode(), value=in_statement(forged))
    assert producer.flush(20) == 0


def running(agent: Daemon) -> Daemon:
    until(lambda: agent.said("partitions assigned"), "the agent runs")
    return agent


def served_after(stack: Stack, topics: Topics, publisher: Publisher, version: int) -> float:
    """Seconds from publishing to serving."""
    began = time.monotonic()
    publisher.publish("fraud", stack.model(version))
    until(lambda: topics.serving("fraud", version), f"version {version} serves", 120)
    return time.monotonic() - began


@pytest.mark.soak
def test_a_burst_of_unknown_models_costs_little_and_a_healthy_publication_goes_on(
    stack: Stack, topics: Topics, publisher: Publisher, origin: CountingProxy
) -> None:
    with Network() as network:
        link = network.link(origin.url)
        link.round_trip_seconds = ROUND_TRIP_SECONDS
        publisher.publish("fraud", stack.model(1))
        agent = running(stack.agent(MODELCAST_STORES__ORIGIN__ENDPOINT_URL=link.endpoint_url))
        until(lambda: topics.serving("fraud", 1), "version 1 serves", 120)
        alone = min(served_after(stack, topics, publisher, version) for version in (2, 3))

        origin.paths.clear()
        flood(stack, "made-up")
        among = served_after(stack, topics, publisher, 4)
        print(f"alone {alone:.2f} s, among {FLOOD} unknown models {among:.2f} s")
        assert among < 2 * alone + 0.5

        refused = lambda: [x for x in agent.lines("a record is not used") if x["reason"] == "unknown-model"]  # noqa: E731
        until(lambda: len(refused()) >= FLOOD, lambda: f"each is refused, {len(refused())} are", 60)
        about = [path for path in origin.paths if "made-up" in path]
        listings = [path for path in origin.paths if "delimiter" in path]
        print(f"{len(about)} requests about unknown models, {len(listings)} listings")
        assert len(about) + len(listings) < FLOOD / 5

        origin.paths.clear()
        flood(stack, "made-up")  # remembered as unknown, unless this machine took half a minute
        until(lambda: len(refused()) >= 2 * FLOOD, "each is refused again", 60)
        assert len([path for path in origin.paths if "made-up" in path]) < FLOOD / 10
        assert agent.lines("looking at an announcement failed in an unforeseen way") == []


@pytest.mark.soak
def test_a_model_that_is_published_among_unknown_ones_is_served(
    stack: Stack, topics: Topics, publisher: Publisher, origin: CountingProxy
) -> None:
    publisher.publish("fraud", stack.model(1))
    running(stack.agent(MODELCAST_STORES__ORIGIN__ENDPOINT_URL=origin.url))
    until(lambda: topics.serving("fraud", 1), "version 1 serves", 120)
    flood(stack, "made-up")
    flood(stack, "brand-new", generation=1)
    publisher.publish("brand-new-7", stack.model(7))
    assert until(lambda: topics.serving("brand-new-7", 1), "it serves although it was unknown", 120) < 30


@pytest.mark.soak
def test_while_the_origin_hangs_a_flood_keeps_nobody_from_the_regions_own_work(
    stack: Stack, topics: Topics, publisher: Publisher, origin: CountingProxy
) -> None:
    publisher.publish("fraud", stack.model(1))
    agent = running(stack.agent(MODELCAST_STORES__ORIGIN__ENDPOINT_URL=origin.url))
    until(lambda: topics.serving("fraud", 1), "version 1 serves", 120)
    origin.hang.set()
    flood(stack, "made-up")
    beats = len(topics.poll().heartbeats)
    until(lambda: len(topics.poll().heartbeats) >= beats + 3, "it sends heartbeats", 60)
    assert topics.serving("fraud", 1)
    began = time.monotonic()
    assert agent.get("/livez")[0] == 200
    assert time.monotonic() - began < 2
    origin.hang.clear()
    publisher.publish("fraud", stack.model(2))
    assert until(lambda: topics.latest("fraud") and topics.latest("fraud").version == 2, "it goes on", 180) < 150  # type: ignore[union-attr]
    assert agent.alive
