"""How far groups have read, on a real Kafka: exact seconds, whatever was deleted, compacted or never committed."""

import time
import uuid
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import NewTopic

from modelcast.dashboard.groups import GroupLook, GroupReader, PartitionLook
from modelcast.infra.kafka.client import consumer_properties, make_admin, make_producer
from modelcast.infra.settings import KafkaSettings, Settings
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
EXACT_SECONDS = 0.1


class Groups:
    """A topic, and groups that have read parts of it."""

    def __init__(self, settings: Settings, ending: str = "", **config: str) -> None:
        self.settings, self.run = settings, uuid.uuid4().hex[:8]
        self.topic = f"lag-{self.run}{ending}"
        admin = make_admin(settings)
        new = NewTopic(self.topic, 2, 1, config={"message.timestamp.type": "LogAppendTime", **config})
        admin.create_topics([new])[self.topic].result(30)
        until(lambda: admin.list_topics(self.topic, timeout=10).topics[self.topic].error is None, "the topic is there")
        self.producer: Producer = make_producer(settings)
        self.reader = GroupReader(settings)

    def write(self, partition: int, *keys: str) -> float:
        """When Kafka received the first of these records (UTC seconds)."""
        times: list[float] = []
        for key in keys:
            self.producer.produce(
                self.topic,
                b"x" * 100,
                key=key,
                partition=partition,
                on_delivery=lambda _, message: times.append(message.timestamp()[1] / 1000),
            )
        assert self.producer.flush(30) == 0
        return min(times)

    def group(self, name: str) -> str:
        return f"modelcast-{self.run}-{name}"

    def commit(self, name: str, partition: int, offset: int) -> None:
        consumer = Consumer(consumer_properties(self.settings, group=self.group(name)))
        consumer.commit(offsets=[TopicPartition(self.topic, partition, offset)], asynchronous=False)
        consumer.close()

    def look(self, name: str) -> GroupLook:
        return next(g for g in self.reader.look() if g.group == self.group(name))

    def partition(self, name: str, number: int = 0) -> PartitionLook:
        """Looked at until the time of its first unread record is known, if there is one."""
        found: list[PartitionLook] = []

        def known() -> bool:
            found[:] = [p for p in self.look(name).partitions if p.partition == number]
            return not found[0].unread or found[0].unread_since_us is not None

        until(known, "the time of the first unread record is known", 30)
        return found[0]


@pytest.fixture(scope="module")
def settings(kafka: str) -> Settings:
    return Settings(kafka=KafkaSettings(bootstrap_servers=kafka, timeout_seconds=20))


@pytest.fixture
def made(settings: Settings) -> Iterator[list[Groups]]:
    groups: list[Groups] = []
    yield groups
    for each in groups:
        each.reader.close()
        make_admin(settings).delete_topics([each.topic])


def test_the_wait_of_the_first_unread_record_is_exact(settings: Settings, made: list[Groups]) -> None:
    groups = Groups(settings)
    made.append(groups)
    groups.write(0, "a")
    second = groups.write(0, "b")
    time.sleep(0.3)
    groups.write(0, "c")
    groups.commit("reads", 0, 1)
    groups.commit("is-done", 0, 3)
    behind, done = groups.partition("reads"), groups.partition("is-done")
    assert behind.unread_since_us is not None
    assert abs(behind.unread_since_us / 1e6 - second) <= EXACT_SECONDS
    assert (behind.unread, behind.committed, behind.end) == (2, 1, 3)
    assert (done.unread, done.unread_since_us) == (0, None)
    assert groups.look("reads").members == 0


def test_groups_at_different_places_of_one_partition_each_have_their_time(
    settings: Settings, made: list[Groups]
) -> None:
    groups = Groups(settings)
    made.append(groups)
    first = groups.write(0, "a")
    time.sleep(0.5)
    second = groups.write(0, "b")
    groups.commit("slow", 0, 0)
    groups.commit("fast", 0, 1)
    slow, fast = groups.partition("slow").unread_since_us, groups.partition("fast").unread_since_us
    assert slow is not None
    assert fast is not None
    assert abs(slow / 1e6 - first) <= EXACT_SECONDS
    assert abs(fast / 1e6 - second) <= EXACT_SECONDS


def test_records_that_were_deleted_before_they_were_read(settings: Settings, made: list[Groups]) -> None:
    groups = Groups(settings)
    made.append(groups)
    groups.write(0, *"abcdef")
    kept = groups.write(0, "g")
    groups.commit("late", 0, 2)
    admin = make_admin(settings)
    for deleted in admin.delete_records([TopicPartition(groups.topic, 0, 6)]).values():
        deleted.result(30)  # as retention does
    until(lambda: groups.partition("late").start == 6, "the records are deleted", 20)
    late = groups.partition("late")
    assert (late.unread, late.lost, late.position) == (1, True, 6)
    assert late.unread_since_us is not None
    assert abs(late.unread_since_us / 1e6 - kept) <= EXACT_SECONDS


def test_an_offset_that_was_never_committed(settings: Settings, made: list[Groups]) -> None:
    groups = Groups(settings)
    made.append(groups)
    groups.write(0, "a")
    consumer = Consumer(consumer_properties(settings, group=groups.group("new")))
    consumer.subscribe([groups.topic])
    try:

        def joined() -> bool:
            consumer.poll(0.1)
            looks = [g for g in groups.reader.look() if g.group == groups.group("new")]
            return bool(looks and looks[0].partitions)

        until(joined, "the group has its partitions", 60)
        look = groups.look("new")
        assert look.members == 1
        assert {(p.partition, p.committed, p.unread) for p in look.partitions} == {(0, None, 1), (1, None, 0)}
    finally:
        consumer.close()


def test_names_of_readers_that_join_no_group_are_no_groups(settings: Settings, made: list[Groups]) -> None:
    groups = Groups(settings)
    made.append(groups)
    consumer = Consumer(consumer_properties(settings))
    consumer.commit(offsets=[TopicPartition(groups.topic, 0, 0)], asynchronous=False)
    consumer.close()
    assert "modelcast-reader" not in {g.group for g in groups.reader.look()}


def test_what_a_group_has_committed_of_the_copy_of_its_table_is_no_lag(settings: Settings, made: list[Groups]) -> None:
    groups = Groups(settings, ending="-rows-changelog")
    made.append(groups)
    groups.write(0, *"abc")
    groups.commit("restored", 0, 1)
    assert groups.look("restored").partitions == ()
