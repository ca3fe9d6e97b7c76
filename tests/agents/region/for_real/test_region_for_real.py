"""One region with two pods, on a real Kafka and a real S3 server."""

import json
import shutil
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from modelcast.infra.kafka.client import make_producer
from modelcast.infra.local.ports import free_ports
from modelcast.infra.local.servers.kafka import KafkaServer
from modelcast.infra.local.servers.s3 import S3Server, client_for
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.stores.configured import origin_store
from modelcast.producers import Commander, Publisher
from modelcast.schemas.log.registry_id import encode_registry_id
from modelcast.schemas.records import Activation
from modelcast.schemas.states import State
from modelcast.schemas.topics import Topic, partition_of
from tests.agents.region.stack import Stack, Topics, states
from tests.support.processes.daemon import Daemon
from tests.support.servers.stores import S3ForTests
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


def running(agent: Daemon) -> Daemon:
    until(lambda: agent.said("partitions assigned"), "the agent runs")
    return agent


def served_by(stack: Stack, region: str = "eu", model: str = "fraud") -> list[tuple[str | None, str | None]]:
    """(version, incarnation) that each pod itself says it serves."""
    found = []
    for url in json.loads(stack.env[f"MODELCAST_REGIONS__{region.upper()}__PODS"]):
        try:
            with urllib.request.urlopen(f"{url}/v2/models/{model}", timeout=5) as answer:
                headers = answer.headers
        except urllib.error.HTTPError as error:
            headers = error.headers
        found.append((headers.get("modelcast-version"), headers.get("modelcast-incarnation")))
    return found


def test_a_publication_is_served_by_every_pod_and_said_so(stack: Stack, topics: Topics, publisher: Publisher) -> None:
    agent = running(stack.agent())
    assert agent.get("/livez")[0] == 200
    for version in (1, 2):
        publisher.publish("fraud", stack.model(version))
        until(lambda version=version: topics.serving("fraud", version), f"version {version} serves on both pods")
    ack = topics.latest("fraud")
    assert ack is not None
    assert (ack.generation, ack.version, ack.staged_version, ack.epoch) == (2, 2, 2, 1)
    assert all(p.generation == 2 and p.manifest_digest == ack.manifest_digest for p in ack.pods)
    assert [s for g, s in states(topics, "fraud") if g == 2][-1] is State.SERVING
    assert ack.bytes_moved == ack.bytes_total > 0
    spans = {span.stage: span for span in ack.spans}
    assert {"fetch", "origin", "load"} <= spans.keys()
    assert (
        spans["fetch"].begun_ms <= spans["origin"].begun_ms <= (spans["fetch"].ended_ms or 0) <= spans["load"].begun_ms
    )
    until(lambda: {h.worker for h in topics.poll().heartbeats} == {"a"}, "a heartbeat")
    until(lambda: (m := stack.memory("fraud")) and m.served and m.served.version == 2, "the region remembers it")
    assert agent.get("/readyz")[0] == 200
    assert 'modelcast_served_version{model="fraud"} 2.0' in agent.get("/metrics")[1]


def test_replay_of_the_whole_topic_and_loss_of_cache_and_offsets_change_nothing(
    stack: Stack, topics: Topics, publisher: Publisher
) -> None:
    agent = running(stack.agent())
    for version in (1, 2, 3):
        publisher.publish("fraud", stack.model(version))
    until(lambda: topics.serving("fraud", 3), "version 3 serves")
    until(lambda: (m := stack.memory("fraud")) and m.served and m.served.version == 3, "it is remembered")
    before, memory, acks = served_by(stack), stack.memory("fraud"), len(topics.acks)

    replay(stack, topics)
    time.sleep(1.0)  # nothing to wait for: nothing shall happen
    assert (served_by(stack), stack.memory("fraud")) == (before, memory)
    assert [a for a in topics.poll().acks[acks:] if a.version != 3 or a.state is not State.SERVING] == []
    assert topics.letters == []

    agent.stop()
    shutil.rmtree(stack.root / "eu" / "cache")
    forget_offsets(stack)
    running(stack.agent(worker="b"))
    until(lambda: (a := topics.latest("fraud")) and a.epoch == 2 and topics.serving("fraud", 3), "b reports")
    assert served_by(stack) == before
    publisher.publish("fraud", stack.model(4))
    until(lambda: topics.serving("fraud", 4), "version 4 serves although the cache was lost")


def replay(stack: Stack, topics: Topics) -> None:
    """Announce every record of the topic again, in another order, twice."""
    from confluent_kafka import TopicPartition

    from modelcast.infra.kafka.client import make_consumer, read_partition

    consumer = make_consumer(stack.settings)
    partition = partition_of("fraud")
    _, high = consumer.get_watermark_offsets(TopicPartition(Topic.MODEL_UPDATES, partition), timeout=10)
    records = list(
        read_partition(consumer, stack.settings, Topic.MODEL_UPDATES, partition, until=high, timeout_seconds=10)
    )
    consumer.close()
    ours = RegistryReader(origin_store(stack.settings)).registry_id().encode()  # other tests' lie on the topic too
    records = [r for r in records if ours in (r.value() or b"")]
    assert len(records) >= 3
    producer = make_producer(stack.settings)
    for message in [*reversed(records), *records]:
        producer.produce(Topic.MODEL_UPDATES, key=message.key(), value=message.value())
    assert producer.flush(10) == 0


def forget_offsets(stack: Stack) -> None:
    """Delete the agents' consumer group."""
    from modelcast.infra.kafka.client import make_admin

    admin = make_admin(stack.settings)
    for future in admin.delete_consumer_groups(["modelcast-region-eu"]).values():
        future.result(20)


@pytest.mark.soak
def test_damaged_bytes_are_refused_and_a_release_lets_them_in_once_they_are_mended(
    stack: Stack, topics: Topics, publisher: Publisher, commander: Commander
) -> None:
    running(stack.agent())
    publisher.publish("fraud", stack.model(1))
    until(lambda: topics.serving("fraud", 1), "version 1 serves")
    publisher.publish("fraud", stack.model(2), activation=Activation.STAGED)
    until(lambda: (a := topics.latest("fraud")) and a.staged_version == 2, "version 2 is staged")
    assert {version for version, _ in served_by(stack)} == {"1"}

    stack.put_blobs(stack.model(3), damaged=True)  # the publisher finds them there, and leaves them
    publisher.publish("fraud", stack.model(3))
    until(lambda: (a := topics.latest("fraud")) and a.state is State.QUARANTINED, "quarantined", 60)
    ack = topics.latest("fraud")
    assert ack is not None
    assert (ack.version, {p.version for p in ack.pods}) == (3, {1})
    assert ack.error
    assert {version for version, _ in served_by(stack)} == {"1"}

    stack.put_blobs(stack.model(3))
    commander.release("fraud", 3)
    until(lambda: topics.serving("fraud", 3), "version 3 serves after its release")


@pytest.mark.soak
def test_pause_resume_pin_and_rollback_are_obeyed(
    stack: Stack, topics: Topics, publisher: Publisher, commander: Commander
) -> None:
    running(stack.agent())
    publisher.publish("fraud", stack.model(1))
    until(lambda: topics.serving("fraud", 1), "version 1 serves")
    commander.pause("fraud")
    publisher.publish("fraud", stack.model(2))
    until(lambda: (a := topics.latest("fraud")) and a.generation == 3, "the publication was read")
    assert {v for v, _ in served_by(stack)} == {"1"}
    commander.resume("fraud")
    until(lambda: topics.serving("fraud", 2), "version 2 serves once resumed")
    commander.rollback("fraud", to=1)
    until(lambda: topics.serving("fraud", 1), "version 1 serves again")
    commander.pin("fraud", 2, regions=["eu"])
    until(lambda: topics.serving("fraud", 2), "version 2 is pinned")
    publisher.publish("fraud", stack.model(3))
    until(lambda: (a := topics.latest("fraud")) and a.generation == 7, "the publication was read")
    assert {v for v, _ in served_by(stack)} == {"2"}


@pytest.mark.soak
def test_a_version_placed_elsewhere_is_neither_fetched_nor_served(
    make_stack: Callable[..., Stack],
) -> None:
    stack = make_stack(regions=("eu", "us"), pods_per_region=1)
    topics = Topics(stack.settings)
    running(stack.agent("eu", "e"))
    running(stack.agent("us", "u"))
    with Publisher(stack.settings) as publisher:
        publisher.publish("fraud", stack.model(1))
        for region in ("eu", "us"):
            until(lambda region=region: topics.serving("fraud", 1, region=region, pods=1), f"{region} serves 1")
        publication = publisher.publish("fraud", stack.model(2), placement=["us"])
        until(lambda: topics.serving("fraud", 2, region="us", pods=1), "us serves 2")
    assert [v for v, _ in served_by(stack, "eu")] == ["1"]
    from modelcast.infra.stores.configured import region_store
    from modelcast.schemas import keys

    assert region_store(stack.settings, "eu").head(keys.manifest(publication.manifest_digest)) is None
    topics.close()


@pytest.mark.soak
def test_what_cannot_be_read_or_differs_from_the_log_is_logged_while_healthy_events_flow(
    stack: Stack, topics: Topics, publisher: Publisher
) -> None:
    from dataclasses import replace

    from tests.support.records.folding import in_statement

    agent = running(stack.agent())
    publisher.publish("fraud", stack.model(1))
    until(lambda: topics.serving("fraud", 1), "version 1 serves")
    update = RegistryReader(origin_store(stack.settings)).tail("fraud").log.updates[1]
    producer = make_producer(stack.settings)
    partition = partition_of("fraud")
    bad = {
        "framing": b"hello",
        "foreign-registry": in_statement(replace(update, registry_id="another")),
        "differs-from-log": in_statement(replace(update, event_id="forged")),
    }
    for value in bad.values():
        producer.produce(Topic.MODEL_UPDATES, key=b"fraud", value=value)
    producer.produce(Topic.MODEL_UPDATES, key=b"other", value=in_statement(update), partition=partition)
    producer.produce(Topic.MODEL_UPDATES, key=b"fraud", value=in_statement(update), partition=(partition + 1) % 12)
    producer.produce(
        Topic.MODEL_UPDATES, key=b"fraud", value=in_statement(replace(update, generation=9, event_id="ahead"))
    )
    producer.produce(Topic.MODEL_UPDATES, key=b"fraud", value=None)
    assert producer.flush(10) == 0
    publisher.publish("fraud", stack.model(2))
    assert until(lambda: topics.serving("fraud", 2), "version 2 serves") < 15
    expected = {*bad, "bad-key", "wrong-partition"}
    refused = lambda: [line["reason"] for line in agent.lines("a record is not used")]  # noqa: E731
    until(lambda: set(refused()) >= expected, f"told of {expected}")
    until(lambda: refused().count("differs-from-log") == 2, "of the one ahead, too")
    assert topics.poll().letters == []  # the tracker writes them, one a record
    assert not agent.said("alarm")
    assert not agent.said("unforeseen")


@pytest.mark.soak
def test_a_store_that_was_swapped_is_not_obeyed(stack: Stack, topics: Topics, publisher: Publisher) -> None:
    agent = running(stack.agent(MODELCAST_REGIONS__EU__RECONCILE_SECONDS="1"))
    publisher.publish("fraud", stack.model(1))
    until(lambda: topics.serving("fraud", 1), "version 1 serves")
    from modelcast.schemas import keys

    origin_store(stack.settings).put(keys.REGISTRY_ID, encode_registry_id("another"))
    until(lambda: (a := topics.latest("fraud")) and "another" in a.error, "the alarm is told")
    assert agent.get("/readyz")[0] == 503
    assert {v for v, _ in served_by(stack)} == {"1"}


@pytest.mark.soak
def test_kafkas_data_lost_changes_nothing_and_news_come_through_the_log(
    make_stack: Callable[..., Stack], tmp_path: Path
) -> None:
    server = KafkaServer.start(tmp_path / "kafka-one")
    try:
        stack = make_stack(kafka=server.bootstrap_servers)
        topics = Topics(stack.settings)
        agent = running(stack.agent(MODELCAST_REGIONS__EU__RECONCILE_SECONDS="2"))
        with Publisher(stack.settings) as publisher:
            publisher.publish("fraud", stack.model(1))
            until(lambda: topics.serving("fraud", 1), "version 1 serves")
        before = served_by(stack)
        server.stop()
        topics.close()
        publish_unheard(stack, stack.model(2))
        until(lambda: {v for v, _ in served_by(stack)} == {"2"}, "version 2 came through the log", 60)
        server = KafkaServer.start(tmp_path / "kafka-two", port=server.port)
        publish_unheard(stack, stack.model(3))
        until(lambda: {v for v, _ in served_by(stack)} == {"3"}, "version 3 came through the log", 60)
        assert [i for _, i in served_by(stack)] == [i for _, i in before]  # no pod was restarted
        until(lambda: agent.get("/readyz")[0] == 200, "ready on the new cluster", 90)
        with Publisher(stack.settings) as publisher:
            publisher.publish("fraud", stack.model(4))
        until(lambda: {v for v, _ in served_by(stack)} == {"4"}, "version 4 serves", 60)
        assert agent.alive
    finally:
        server.stop()


def publish_unheard(stack: Stack, folder: Path, model: str = "fraud") -> None:
    """Publish where nobody is told."""

    class Deaf:
        def announce(self, topic: str, key: str, value: bytes, *, timeout_seconds: float) -> None:
            """Say nothing."""

        def close(self) -> None:
            """Nothing to close."""

    with Publisher(stack.settings, announcer=Deaf()) as publisher:
        publisher.publish(model, folder)


def test_sigterm_lets_a_load_finish_says_that_it_drains_and_leaves(
    stack: Stack, topics: Topics, publisher: Publisher
) -> None:
    agent = running(stack.agent())
    publisher.publish("fraud", stack.model(1))
    until(lambda: topics.serving("fraud", 1), "version 1 serves")
    publisher.publish("fraud", stack.model(2))
    until(lambda: (a := topics.latest("fraud")) and a.generation == 2 and a.state is State.LOADING, "it loads")
    agent.signal(signal.SIGTERM)
    until(lambda: agent.said("the region agent has ended"), "it ends", 40)
    until(lambda: any(h.draining for h in topics.poll().heartbeats), "the last heartbeat says so")
    assert agent.wait() == 0
    running(stack.agent(worker="b"))
    assert until(lambda: topics.serving("fraud", 2), "b goes on at once") < 15


@pytest.mark.soak
def test_kafka_and_stores_that_are_away_at_start_are_waited_for(s3: S3ForTests, stack: Stack, tmp_path: Path) -> None:
    kafka_port, s3_port = free_ports(2)
    kafka_at, s3_at = f"127.0.0.1:{kafka_port}", f"http://127.0.0.1:{s3_port}"
    agent = stack.agent(
        MODELCAST_KAFKA__BOOTSTRAP_SERVERS=kafka_at,
        MODELCAST_KAFKA__TIMEOUT_SECONDS="3",
        MODELCAST_STORES__ORIGIN__ENDPOINT_URL=s3_at,
        MODELCAST_REGIONS__EU__STORE__ENDPOINT_URL=s3_at,
    )
    until(lambda: agent.said("waiting for kafka"), "it says what it waits for", 60)
    until(lambda: agent.said("the registry can't be followed now"), "it says what else it waits for", 60)
    assert agent.get("/livez")[0] == 200
    assert agent.get("/readyz")[0] == 503
    kafka = KafkaServer.start(tmp_path / "late-kafka", port=kafka_port)
    store = S3Server.start(tmp_path / "late-s3", port=s3_port)
    try:
        for name in ("MODELCAST_STORES__ORIGIN__URL", "MODELCAST_REGIONS__EU__STORE__URL"):
            client_for(s3_at).create_bucket(Bucket=stack.env[name].removeprefix("s3://").split("/")[0])
        until(lambda: agent.get("/readyz")[0] == 200, "ready", 90)
        settings = stack.settings.model_copy(
            update={
                "kafka": stack.settings.kafka.model_copy(update={"bootstrap_servers": kafka_at}),
                "stores": {"origin": stack.settings.store("origin").model_copy(update={"endpoint_url": s3_at})},
            }
        )
        with Publisher(settings) as publisher:
            publisher.publish("fraud", stack.model(1))
        until(lambda: agent.said("staged"), "it works")
    finally:
        agent.stop()
        kafka.stop()
        store.stop()


@pytest.mark.soak
def test_it_can_be_ended_while_it_still_waits_for_kafka(stack: Stack) -> None:
    nowhere = f"127.0.0.1:{free_ports(1)[0]}"
    agent = stack.agent(MODELCAST_KAFKA__BOOTSTRAP_SERVERS=nowhere, MODELCAST_KAFKA__TIMEOUT_SECONDS="3")
    until(lambda: agent.said("waiting for kafka"), "it waits", 60)
    agent.signal(signal.SIGTERM)
    assert agent.wait() == 0
