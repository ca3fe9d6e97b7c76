"""The ACLs in ``infra/deploy/kafka/acls.sh`` are enough for each role's work, and for nothing else."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]

from modelcast.infra.kafka.announcer import KafkaAnnouncer
from modelcast.infra.kafka.client import make_admin, make_consumer, read_partition
from modelcast.infra.kafka.dead_letters import StoredDeadLetter, read
from modelcast.schemas.errors import KafkaUnavailable
from modelcast.schemas.topics import TOPICS, Topic, partition_of
from tests.agents.region.stack import Stack
from tests.support.processes.command_line import NOWHERE, CommandLine
from tests.support.processes.daemon import Daemon
from tests.support.servers.secured_kafka import SecuredKafka, secured_kafka
from tests.support.servers.stores import S3ForTests
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(420), pytest.mark.soak]

PUBLISHER, OPERATOR, OUTCOMES, TRACKER, ROLLOUTS, VIEWER = (
    f"modelcast-{role}" for role in ("publisher", "operator", "outcomes", "tracker", "rollouts", "viewer")
)
EU, US = "modelcast-region-eu", "modelcast-region-us"
REFUSED = "GROUP_AUTHORIZATION_FAILED"
USERS = [PUBLISHER, OPERATOR, OUTCOMES, TRACKER, ROLLOUTS, VIEWER, EU, US, "stranger"]
READS = {
    PUBLISHER: {Topic.VERSION_STATE},
    OPERATOR: {
        Topic.VERSION_STATE,
        Topic.VERSION_CHANGES,
        Topic.DEAD_LETTERS,
        Topic.MODEL_UPDATES,
        Topic.ROLLOUT_STATE,
        Topic.REGION_HEARTBEATS,
    },
    TRACKER: {
        Topic.MODEL_UPDATES,
        Topic.MODEL_ACKS,
        Topic.REGION_HEARTBEATS,
        Topic.VERSION_STATE,
        Topic.VERSION_CHANGES,
        Topic.PROBE_STATE,
    },
    OUTCOMES: set(),
    ROLLOUTS: {Topic.MODEL_UPDATES, Topic.TRAFFIC_COUNTS, Topic.ROLLOUT_STATE, Topic.OUTCOMES},
    VIEWER: set(Topic),
    EU: {Topic.MODEL_UPDATES, Topic.TRAFFIC_STATE},
    US: {Topic.MODEL_UPDATES, Topic.TRAFFIC_STATE},
    "stranger": set(),
}
WRITES = {
    PUBLISHER: {Topic.MODEL_UPDATES},
    OPERATOR: {Topic.MODEL_UPDATES, Topic.MODEL_ACKS, Topic.REGION_HEARTBEATS, Topic.DEAD_LETTERS, Topic.OUTCOMES},
    OUTCOMES: {Topic.OUTCOMES},
    TRACKER: {
        Topic.MODEL_UPDATES,
        Topic.VERSION_STATE,
        Topic.VERSION_CHANGES,
        Topic.PROBE_STATE,
        Topic.DEAD_LETTERS,
    },
    ROLLOUTS: {Topic.MODEL_UPDATES, Topic.TRAFFIC_STATE, Topic.ROLLOUT_STATE, Topic.DEAD_LETTERS},
    VIEWER: set(),
    EU: {Topic.MODEL_ACKS, Topic.REGION_HEARTBEATS, Topic.TRAFFIC_COUNTS},
    US: {Topic.MODEL_ACKS, Topic.REGION_HEARTBEATS, Topic.TRAFFIC_COUNTS},
    "stranger": set(),
}
GROUPS = {EU: {EU}, US: {US}, TRACKER: {TRACKER}, ROLLOUTS: {ROLLOUTS}}
PATIENCE_SECONDS = 60.0


@pytest.fixture(scope="module")
def kafka_with_acls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    with secured_kafka(tmp_path_factory.mktemp("secured"), USERS, ["eu", "us"]) as server:
        yield server


@pytest.fixture(scope="module")
def records(kafka_with_acls: SecuredKafka) -> None:
    """One record on every topic, so that there is something to read."""
    with KafkaAnnouncer(kafka_with_acls.admin) as announcer:
        for topic in Topic:
            announcer.announce(topic, "probe", b"a probe", timeout_seconds=PATIENCE_SECONDS)


def may_write(kafka: SecuredKafka, user: str, topic: Topic) -> bool:
    with KafkaAnnouncer(kafka.settings(user)) as announcer:
        try:
            announcer.announce(topic, "probe", b"a probe", timeout_seconds=PATIENCE_SECONDS)
        except KafkaUnavailable as error:
            assert "lacks an ACL" in error.hint, error
            return False
    return True


def may_read(kafka: SecuredKafka, user: str, topic: Topic) -> bool:
    settings = kafka.settings(user)
    consumer = make_consumer(settings)
    partition = partition_of("probe", next(spec.partitions for spec in TOPICS if spec.name == topic))
    try:
        found = read_partition(consumer, settings, topic, partition, timeout_seconds=PATIENCE_SECONDS)
        return any(message.value() == b"a probe" for message in found)
    except KafkaUnavailable as error:
        assert "lacks an ACL" in error.hint, error
        return False
    finally:
        consumer.close()


def may_use_group(kafka: SecuredKafka, user: str, group: str) -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := _moves(kafka, user, group)) is None and time.monotonic() < deadline:
        time.sleep(0.1)
    assert found is not None, f"no answer on {group} for {user}"
    return found


def _moves(kafka: SecuredKafka, user: str, group: str) -> bool | None:
    """Whether the user may set the group's offset; None: the group's coordinator is not ready."""
    admin = make_admin(kafka.settings(user))
    place = ConsumerGroupTopicPartitions(group, [TopicPartition(Topic.MODEL_UPDATES, 0, 0)])
    (moved,) = admin.alter_consumer_group_offsets([place]).values()
    try:
        (partition,) = moved.result(PATIENCE_SECONDS).topic_partitions
    except KafkaException as error:
        return False if error.args[0].name() == REFUSED else None
    if partition.error is None:
        return True
    return False if partition.error.name() == REFUSED else None  # who may describe a group is refused later


@pytest.mark.usefixtures("records")
def test_every_role_reads_and_writes_what_its_work_needs_and_no_other_topic(kafka_with_acls: SecuredKafka) -> None:
    every = [(user, topic) for user in USERS for topic in Topic]
    with ThreadPoolExecutor(8) as threads:
        reads = list(threads.map(lambda pair: may_read(kafka_with_acls, *pair), every))
        writes = list(threads.map(lambda pair: may_write(kafka_with_acls, *pair), every))
    assert _allowed(every, reads) == READS
    assert _allowed(every, writes) == WRITES


def _allowed(every: list[tuple[str, Topic]], may: list[bool]) -> dict[str, set[Topic]]:
    return {user: {t for (u, t), yes in zip(every, may, strict=True) if u == user and yes} for user in USERS}


def test_nobody_moves_the_place_of_another_reader(kafka_with_acls: SecuredKafka) -> None:
    groups = [EU, US, TRACKER, ROLLOUTS]
    with ThreadPoolExecutor(8) as threads:
        may = {
            user: threads.map(lambda group, user=user: may_use_group(kafka_with_acls, user, group), groups)
            for user in USERS
        }
        found = {user: {g for g, yes in zip(groups, answers, strict=True) if yes} for user, answers in may.items()}
    assert found == {user: GROUPS.get(user, set()) for user in USERS}


@pytest.mark.parametrize("user", USERS)
def test_nobody_makes_or_removes_a_topic_of_others(kafka_with_acls: SecuredKafka, user: str) -> None:
    admin = make_admin(kafka_with_acls.settings(user))
    for futures in (admin.create_topics([NewTopic("another", 1, 1)]), admin.delete_topics([Topic.MODEL_UPDATES])):
        for future in futures.values():
            with pytest.raises(KafkaException, match=r"(?i)authorization failed"):
                future.result(PATIENCE_SECONDS)
    assert Topic.MODEL_UPDATES in make_admin(kafka_with_acls.admin).list_topics(timeout=PATIENCE_SECONDS).topics


@pytest.mark.soak
def test_with_its_acls_each_role_does_its_work(
    kafka_with_acls: SecuredKafka,
    s3: S3ForTests,
    redis_url: str,
    tmp_path: Path,
) -> None:
    kafka = kafka_with_acls
    extra = {"MODELCAST_REDIS__URL": redis_url, "MODELCAST_REGIONS__EU__REPORT_SECONDS": "2"}
    stack = Stack(tmp_path, kafka.bootstrap_servers, s3, ("eu",), 1, extra)
    try:
        command = ["-m", "modelcast.cli.main", "run", "tracker"]
        tracker = Daemon("tracker", command, stack.env | kafka.env(TRACKER), tmp_path)
        stack.processes.append(tracker.start())
        stack.agent("eu", "a", **kafka.env(EU))
        publisher, operator, viewer = (
            CommandLine(stack.env | kafka.env(user), tmp_path) for user in (PUBLISHER, OPERATOR, VIEWER)
        )
        publisher("publish", "fraud", publisher.model(1), "--wait", "--timeout", "120s")
        operator("reload", "fraud", "--yes")
        no_redis = {"MODELCAST_REDIS__URL": f"redis://{NOWHERE}/0"}
        assert viewer("get", "fraud", "-o", "json", **no_redis).json["state"]["consistent_version"] == 1
        assert f"{len(Topic)} as they must be" in operator("doctor", "--only", "kafka").out
        for user, role in ((EU, "region eu"), (TRACKER, "tracker"), (PUBLISHER, "publisher"), (OPERATOR, "operator")):
            who = CommandLine(stack.env | kafka.env(user), tmp_path)
            told = {c["subject"]: c for c in who("doctor", "--only", "kafka", "--role", role, "-o", "json").json}
            assert told[f"kafka: role {role}"]["result"] == "ok"
        told = {
            c["subject"]: c for c in viewer("doctor", "--only", "kafka", "--role", "tracker", "-o", "json", code=1).json
        }
        assert "write on version-state" in told["kafka: role tracker"]["detail"]

        with KafkaAnnouncer(kafka.settings(PUBLISHER)) as announcer:
            announcer.announce(Topic.MODEL_UPDATES, "fraud", b"rubbish", timeout_seconds=PATIENCE_SECONDS)

        def rubbish() -> list[StoredDeadLetter]:
            return [found for found in read(kafka.settings(OPERATOR)) if found.letter.raw == b"rubbish"]

        def reporters() -> set[str]:
            return {found.letter.reported_by.split()[0] for found in rubbish()}

        until(lambda: reporters() == {"tracker"}, lambda: f"{reporters()} reported", 120)
        offset = rubbish()[0].offset
        operator("dead-letters", "replay", str(offset), "--reason", "once more", "--yes")
        assert [r.reason for r in rubbish()[0].replays] == ["once more"]
        refused = publisher("dead-letters", "replay", str(offset), "--yes", code=6)
        assert "lacks an ACL" in refused.err
    finally:
        stack.stop()
