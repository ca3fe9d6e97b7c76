"""What may be lost is lost for real: the live view, the tracker, what the topic held. What is served stays."""

import signal
import time
from dataclasses import replace
from typing import Any

import pytest
import redis

from modelcast.infra.kafka.admin import LATEST
from modelcast.infra.kafka.client import make_admin
from modelcast.infra.local.servers.redis import RedisServer
from modelcast.infra.local.stack import LocalStack
from modelcast.infra.redis_view import RedisView
from modelcast.infra.settings import Settings
from modelcast.schemas.codec import decode_as
from modelcast.schemas.records import VersionState
from modelcast.schemas.topics import MODEL_PARTITIONS, Topic, partition_of
from tests.support.processes.command_line import CommandLine, pods_of, predicts
from tests.support.servers.topic_reader import TopicReader
from tests.support.waiting import until

pytestmark = pytest.mark.integration


def words_on(topics: TopicReader, model: str) -> list[VersionState]:
    """Everything that was said of a model on ``version-state``, oldest first."""
    messages = topics.messages(Topic.VERSION_STATE, partition_of(model))
    return [decode_as(VersionState, m.value() or b"") for m in messages if m.key() == model.encode()]


def without_times(state: VersionState) -> VersionState:
    """What was said, less what passing time alone changes."""
    regions = tuple(
        replace(
            region,
            behind_since_us=0,
            heard_at_us=0,
            reported_at_us=0,
            read_at_us=0,
            moved_at_us=0,
            pods=tuple(replace(pod, read_at_us=0) for pod in region.pods),
        )
        for region in state.regions
    )
    return replace(state, updated_at_us=0, as_of_us=0, behind_since_us=0, regions=regions)


def viewed(settings: Settings, model: str) -> Any:
    with RedisView(settings) as view:
        seen = view.model(model)
    return seen and without_times(seen.value)


def settled(settings: Settings, model: str, quiet_seconds: float = 2.0) -> Any:
    """The view once nothing in it has changed for a while: the last acknowledgements may still be on their way."""
    seen, since = viewed(settings, model), time.monotonic()

    def quiet() -> bool:
        nonlocal seen, since
        if (now := viewed(settings, model)) != seen:
            seen, since = now, time.monotonic()
        return time.monotonic() - since > quiet_seconds

    until(quiet, "the view is quiet", 60)
    return seen


@pytest.mark.parametrize("loss", ["restarted", pytest.param("flushed", marks=pytest.mark.soak)])
def test_the_live_view_fills_again(modelcast: CommandLine, stack: LocalStack, settings: Settings, loss: str) -> None:
    model = f"viewed-{loss}"
    modelcast("publish", model, modelcast.model(1), "--wait")
    until(lambda: (s := viewed(settings, model)) and s.consistent_version == 1, "it is in the view")
    before = settled(settings, model)
    if loss == "flushed":
        with redis.Redis.from_url(settings.redis.url.get_secret_value()) as client:
            client.flushall()
    else:
        server = stack.services["redis"]
        assert isinstance(server, RedisServer)
        server.restart()
    until(lambda: viewed(settings, model) == before, lambda: f"{viewed(settings, model)}\nwas\n{before}", 60)
    assert {predicts(pod, model) for pod in pods_of(stack.env)} == {(1, 1.0)}


def test_a_killed_tracker_comes_back_to_what_it_knew(
    modelcast: CommandLine, stack: LocalStack, topics: TopicReader
) -> None:
    modelcast("publish", "tracked", modelcast.model(1), "--wait")
    modelcast("publish", "tracked", modelcast.model(2), "--wait")
    before = words_on(topics, "tracked")
    tracker = stack.services["tracker"]
    tracker.child.signal(signal.SIGKILL)
    until(lambda: not tracker.child.running, "it is dead")
    tracker.restart()

    def says_the_same() -> bool:
        said = words_on(topics, "tracked")
        return len(said) > len(before) and without_times(said[-1]) == without_times(before[-1])

    # A row that was read but had not reached the changelog is read again from the topic: the first word may lack it.
    until(says_the_same, "the new one says what the old one knew", 60)
    modelcast("publish", "tracked", modelcast.model(3), "--wait", "--timeout", "60s")


@pytest.mark.soak
def test_a_region_that_was_away_longer_than_the_topic_keeps_converges_from_the_log(
    modelcast: CommandLine, stack: LocalStack, settings: Settings
) -> None:
    modelcast("publish", "missed", modelcast.model(1), "--wait")
    eu, us = pods_of(stack.env)
    agent = stack.services["region-us"]
    agent.stop()
    modelcast("publish", "missed", modelcast.model(2))
    modelcast("publish", "missed", modelcast.model(3))
    modelcast("publish", "missed-altogether", modelcast.model(4))
    modelcast("wait", "missed/3", "--level", "one", "--timeout", "60s")
    assert (predicts(eu, "missed"), predicts(us, "missed")) == ((3, 3.0), (1, 1.0))
    forget_all(settings, Topic.MODEL_UPDATES)
    agent.restart()
    modelcast("wait", "missed/3", "--timeout", "60s")
    modelcast("wait", "missed-altogether/1", "--timeout", "60s")
    assert (predicts(us, "missed"), predicts(us, "missed-altogether")) == ((3, 3.0), (1, 4.0))


def forget_all(settings: Settings, topic: str) -> None:
    """Do at once what retention does in time."""
    from confluent_kafka import TopicPartition

    admin = make_admin(settings)
    wanted = [TopicPartition(topic, partition) for partition in range(MODEL_PARTITIONS)]
    ends = {
        where: future.result(20).offset for where, future in admin.list_offsets(dict.fromkeys(wanted, LATEST)).items()
    }
    targets = [TopicPartition(topic, where.partition, end) for where, end in ends.items()]
    deleted = {
        where.partition: future.result(20).low_watermark for where, future in admin.delete_records(targets).items()
    }
    assert deleted == {where.partition: end for where, end in ends.items()}
    assert max(deleted.values()) > 0
