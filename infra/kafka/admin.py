"""The topics on the cluster: created from ``schemas.topics``, and checked against it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it exports them without saying so
    AdminClient,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from modelcast.infra.kafka.client import make_admin, make_consumer, read_partition, unreachable
from modelcast.infra.settings import Settings
from modelcast.schemas.topics import MODEL_PARTITIONS, TOPICS, TopicSpec, partition_of

_SETTLING = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError._TIMED_OUT,  # a broker that is busy starting: the whole has a deadline
        KafkaError._NOENT,  # librdkafka: no leader yet for any partition asked for
    }
)
_UNSEEN = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED})
EARLIEST, LATEST = OffsetSpec.earliest(), OffsetSpec.latest()  # type: ignore[no-untyped-call]
CREATE_HINT = "modelcast topics --create"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about the cluster that is not as it must be (``error``) or as it should be (``warning``)."""

    subject: str
    problem: str
    hint: str
    severity: Literal["error", "warning"] = "error"


@dataclass(frozen=True, slots=True)
class TopicDescription:
    """A topic as it is. ``records_max`` counts offsets, of which compaction may have removed some."""

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str] = field(default_factory=dict)
    records_max: int = 0


@dataclass(frozen=True, slots=True)
class ClusterDescription:
    """The cluster as it presents itself, and those of our topics that exist."""

    cluster_id: str
    brokers: tuple[str, ...]
    topics: tuple[TopicDescription, ...]


def create_topics(
    settings: Settings, replication: int | None = None, *, specs: Sequence[TopicSpec] = TOPICS
) -> tuple[str, ...]:
    """Create the topics that are missing, and return once all can be used; existing ones are left as they are.

    Args:
        settings: where the cluster is.
        replication: copies of each partition; None: ``kafka.topic_replication_factor``.
        specs: which; by default ours.

    Returns:
        The names created.

    Raises:
        KafkaUnavailable: the cluster can't be reached or refuses.
    """
    admin, timeout = make_admin(settings), settings.kafka.timeout_seconds
    copies = replication or settings.kafka.topic_replication_factor
    there = _partitions(admin, settings, timeout)
    missing = [spec for spec in specs if spec.name not in there]
    if not missing:
        return ()
    wanted = [NewTopic(str(s.name), s.partitions, replication_factor=copies, config=s.config) for s in missing]
    created = []
    for name, future in admin.create_topics(wanted, operation_timeout=timeout).items():
        try:
            future.result(timeout)
            created.append(name)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise unreachable(error, settings, name) from error
    _records(admin, settings, {str(s.name): s.partitions for s in missing})
    return tuple(created)


def topic_ids(settings: Settings, admin: AdminClient | None = None) -> dict[str, str]:
    """The ids that the cluster gave to those of our topics that exist and may be seen: one made anew has another id.

    Raises:
        KafkaUnavailable: the cluster can't be reached.
    """
    admin, timeout = admin or make_admin(settings), settings.kafka.timeout_seconds
    names = [str(spec.name) for spec in TOPICS]
    found = {}
    for name, future in admin.describe_topics(TopicCollection(names), request_timeout=timeout).items():
        try:
            found[name] = str(future.result(timeout).topic_id)
        except KafkaException as error:
            if error.args[0].code() not in _UNSEEN:
                raise unreachable(error, settings, name) from error
        except TimeoutError as error:
            raise unreachable("no answer in time", settings, name) from error
    return found


def delete_group(settings: Settings, group: str) -> bool:
    """Forget a consumer group with all its offsets; False: it still has members.

    Raises:
        KafkaUnavailable: the cluster can't be reached or refuses.
    """
    admin, timeout = make_admin(settings), settings.kafka.timeout_seconds
    try:
        admin.delete_consumer_groups([group], request_timeout=timeout)[group].result(timeout)
    except KafkaException as error:
        code = error.args[0].code()
        if code == KafkaError.NON_EMPTY_GROUP:
            return False
        if code != KafkaError.GROUP_ID_NOT_FOUND:
            raise unreachable(error, settings, group) from error
    except TimeoutError as error:
        raise unreachable("no answer in time", settings, group) from error
    return True


def check_topics(settings: Settings) -> list[Finding]:
    """What is wrong with the topics; empty: nothing.

    Raises:
        KafkaUnavailable: the cluster can't be reached.
    """
    there = {topic.name: topic for topic in describe(settings).topics}
    findings: list[Finding] = []
    for spec in TOPICS:
        found = there.get(str(spec.name))
        if found is None:
            findings.append(Finding(str(spec.name), "the topic is missing", CREATE_HINT))
        else:
            findings.extend(differences(spec, found, settings.kafka.topic_replication_factor))
    return findings


def differences(spec: TopicSpec, found: TopicDescription, replication: int = 1) -> list[Finding]:
    """How a topic differs from what it must be. Pure."""
    name, findings = found.name, []
    if found.partitions != spec.partitions:
        problem = f"{found.partitions} partitions, must be {spec.partitions}: readers would look in the wrong place"
        findings.append(Finding(name, problem, "make the topic anew; the registry log, not the topic, holds the truth"))
    for key in ("cleanup.policy", "message.timestamp.type"):
        is_now, must_be = found.config.get(key, ""), spec.config[key]
        if is_now != must_be:
            hint = f"kafka-configs --alter --entity-type topics --entity-name {name} --add-config {key}={must_be}"
            findings.append(Finding(name, f"{key} is {is_now!r}, must be {must_be!r}", hint))
    if retention := spec.config.get("retention.ms"):
        is_now = found.config.get("retention.ms", "")
        if is_now.lstrip("-").isdigit() and 0 <= int(is_now) < int(retention):
            hint = f"nothing is lost by it; to change: --add-config retention.ms={retention}"
            findings.append(Finding(name, f"keeps {is_now} ms, less than {retention}", hint, "warning"))
    if limit := spec.config.get("retention.bytes"):
        is_now = found.config.get("retention.bytes", "")
        if is_now != limit:
            hint = f"a flood could fill the brokers' disks; to change: --add-config retention.bytes={limit}"
            findings.append(Finding(name, f"retention.bytes is {is_now!r}, should be {limit!r}", hint, "warning"))
    if found.replication < replication:
        problem = f"{found.replication} copies, fewer than the {replication} that the settings ask for"
        findings.append(Finding(name, problem, "kafka-reassign-partitions", "warning"))
    return findings


def describe(settings: Settings) -> ClusterDescription:
    """The cluster and our topics on it.

    Raises:
        KafkaUnavailable: it can't be reached.
    """
    admin, timeout = make_admin(settings), settings.kafka.timeout_seconds
    try:
        found = admin.list_topics(timeout=timeout)
        ours = {str(s.name): found.topics[s.name] for s in TOPICS if s.name in found.topics}
        configs = _configs(admin, list(ours), timeout)
    except KafkaException as error:
        raise unreachable(error, settings) from error
    counts = _records(admin, settings, {name: len(metadata.partitions) for name, metadata in ours.items()})
    topics = []
    for name, metadata in ours.items():
        replication = min((len(p.replicas) for p in metadata.partitions.values()), default=0)
        config = configs.get(name, {})
        topics.append(TopicDescription(name, len(metadata.partitions), replication, config, counts[name]))
    brokers = tuple(f"{b.host}:{b.port}" for b in found.brokers.values())
    return ClusterDescription(found.cluster_id or "", brokers, tuple(topics))


def broker_version(settings: Settings) -> str | None:
    """A broker's release, as far as it tells: ``4.0 or newer``, or what older ones speak with each other (``3.9-IV0``).

    Returns:
        None where the cluster's settings may not be read.

    Raises:
        KafkaUnavailable: the cluster can't be reached.
    """
    admin, timeout = make_admin(settings), settings.kafka.timeout_seconds
    try:
        broker = str(min(admin.list_topics(timeout=timeout).brokers))
        answers: dict[Any, Any] = admin.describe_configs(
            [ConfigResource(ResourceType.BROKER, broker)], request_timeout=timeout
        )
        (config,) = (future.result(timeout) for future in answers.values())
    except KafkaException as error:
        if error.args[0].code() == KafkaError.CLUSTER_AUTHORIZATION_FAILED:
            return None
        raise unreachable(error, settings) from error
    except TimeoutError as error:
        raise unreachable("no answer in time", settings) from error
    # 4.0 has dropped the setting: since then all brokers speak by the cluster's metadata version.
    older = config.get("inter.broker.protocol.version")
    return older.value if older else "4.0 or newer"


def _partitions(admin: AdminClient, settings: Settings, timeout: float) -> dict[str, int]:
    """Topics that exist, with their partition counts."""
    try:
        topics = admin.list_topics(timeout=timeout).topics
    except KafkaException as error:
        raise unreachable(error, settings) from error
    return {name: len(topic.partitions) for name, topic in topics.items() if topic.error is None}


def _configs(admin: AdminClient, names: list[str], timeout: float) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    answers: dict[Any, Any] = admin.describe_configs(resources, request_timeout=timeout)
    return {
        resource.name: {key: entry.value or "" for key, entry in future.result(timeout).items()}
        for resource, future in answers.items()
    }


def _records(admin: AdminClient, settings: Settings, topics: Mapping[str, int]) -> dict[str, int]:
    """Offsets between beginning and end, by topic; waits until every partition's leader answers."""
    deadline = time.monotonic() + settings.kafka.timeout_seconds
    partitions = [TopicPartition(name, number) for name, count in topics.items() for number in range(count)]
    while True:
        try:
            begin, end = (_offsets(admin, partitions, spec) for spec in (EARLIEST, LATEST))
            return {name: sum(end[name, n] - begin[name, n] for n in range(count)) for name, count in topics.items()}
        except KafkaException as error:  # new topics take a moment to be known by their leaders
            if time.monotonic() > deadline or error.args[0].code() not in _SETTLING:
                raise unreachable(error, settings, ", ".join(topics)) from error
            if error.args[0].code() == KafkaError._NOENT:  # seen to last: this client's cache of leaders is stuck
                admin = make_admin(settings)
        time.sleep(0.02)


def _offsets(admin: AdminClient, partitions: list[TopicPartition], spec: OffsetSpec) -> dict[tuple[str, int], int]:
    if not partitions:
        return {}
    answers = admin.list_offsets(dict.fromkeys(partitions, spec), request_timeout=3.0)
    return {(where.topic, where.partition): future.result().offset for where, future in answers.items()}


def misplaced(settings: Settings, topic: str, *, last: int = 20) -> list[str]:
    """Keys among the newest records of a model-keyed topic that lie in another partition than murmur2 gives them.

    Some producer then uses another partitioner, and the worker that looks after such a model never hears of it.

    Raises:
        KafkaUnavailable: the cluster can't be reached.
    """
    consumer, timeout = make_consumer(settings), settings.kafka.timeout_seconds
    found: set[str] = set()
    try:
        for partition in range(MODEL_PARTITIONS):
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=timeout)
            start = max(low, high - last)
            for message in read_partition(
                consumer, settings, topic, partition, start=start, until=high, timeout_seconds=timeout
            ):
                key = (message.key() or b"").decode("utf-8", "replace")
                if partition_of(key) != partition:
                    found.add(key)
    except KafkaException as error:
        raise unreachable(error, settings, topic) from error
    finally:
        consumer.close()
    return sorted(found)
