"""The topics, as data. ``modelcast topics`` creates and checks them from here."""

import itertools
from dataclasses import dataclass, field
from enum import StrEnum

DAY_MS = 24 * 60 * 60 * 1000
MODEL_PARTITIONS = 12
"""Partition count of every model-keyed topic. It never changes: partitions decide which worker owns a model."""

RECORD_SIZE_MAX = 256 * 1024
"""Bytes of one record. Checked before decoding and before any table write."""

DEAD_LETTER_KEPT_MAX = 128 * 1024
"""Bytes that a dead letter keeps of what could not be read."""

DEAD_LETTERS_MAX_BYTES = 256 * 1024 * 1024
"""What the topic keeps at most: a flood of junk must not fill the brokers' disks."""
DEAD_LETTERS_SEGMENT_BYTES = 32 * 1024 * 1024
"""Kafka deletes whole segments only, so they are much smaller than what is kept."""


class Topic(StrEnum):
    """Names on the cluster."""

    MODEL_UPDATES = "model-updates"
    MODEL_ACKS = "model-acks"
    REGION_HEARTBEATS = "region-heartbeats"
    VERSION_STATE = "version-state"
    VERSION_CHANGES = "version-changes"
    PROBE_STATE = "probe-state"
    TRAFFIC_COUNTS = "traffic-counts"
    TRAFFIC_STATE = "traffic-state"
    ROLLOUT_STATE = "rollout-state"
    OUTCOMES = "outcomes"
    DEAD_LETTERS = "dead-letters"


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """How a topic must be set up: one of ours (``Topic``), or a table's changelog."""

    name: str
    partitions: int
    config: dict[str, str] = field(default_factory=dict)


def _config(cleanup: str, retention_days: int | None) -> dict[str, str]:
    config = {"cleanup.policy": cleanup, "message.timestamp.type": "LogAppendTime"}
    if retention_days is not None:
        config["retention.ms"] = str(retention_days * DAY_MS)
    return config


TOPICS: tuple[TopicSpec, ...] = (
    TopicSpec(Topic.MODEL_UPDATES, MODEL_PARTITIONS, _config("delete", 30)),
    TopicSpec(Topic.MODEL_ACKS, MODEL_PARTITIONS, _config("delete", 7)),
    TopicSpec(Topic.REGION_HEARTBEATS, 1, _config("compact", None)),
    TopicSpec(Topic.VERSION_STATE, MODEL_PARTITIONS, _config("compact", None)),
    TopicSpec(Topic.VERSION_CHANGES, MODEL_PARTITIONS, _config("delete", 30)),
    TopicSpec(Topic.PROBE_STATE, 1, _config("compact", None)),
    TopicSpec(Topic.TRAFFIC_COUNTS, MODEL_PARTITIONS, _config("delete", 1)),
    TopicSpec(Topic.TRAFFIC_STATE, MODEL_PARTITIONS, _config("compact", None)),
    TopicSpec(Topic.ROLLOUT_STATE, MODEL_PARTITIONS, _config("compact", None)),
    TopicSpec(Topic.OUTCOMES, MODEL_PARTITIONS, _config("delete", 7)),
    TopicSpec(
        Topic.DEAD_LETTERS,
        1,
        _config("delete", 30)
        | {"retention.bytes": str(DEAD_LETTERS_MAX_BYTES), "segment.bytes": str(DEAD_LETTERS_SEGMENT_BYTES)},
    ),
)


def murmur2(data: bytes) -> int:
    """Kafka's murmur2, as an unsigned 32-bit number (``org.apache.kafka.common.utils.Utils.murmur2``)."""
    mask, m, length = 0xFFFFFFFF, 0x5BD1E995, len(data)
    h = (0x9747B28C ^ length) & mask
    for i in range(0, length - length % 4, 4):
        k = int.from_bytes(data[i : i + 4], "little") * m & mask
        k = (k ^ (k >> 24)) * m & mask
        h = (h * m & mask) ^ k
    tail = data[length - length % 4 :]
    if tail:
        h = (h ^ int.from_bytes(tail, "little")) * m & mask
    h = (h ^ (h >> 13)) * m & mask
    return h ^ (h >> 15)


def partition_of(key: str, partitions: int = MODEL_PARTITIONS) -> int:
    """The partition that Kafka's default (murmur2) partitioner gives a key."""
    return (murmur2(key.encode()) & 0x7FFFFFFF) % partitions


def partition_keys(prefix: str) -> tuple[str, ...]:
    """A key for each partition of the model-keyed topics, by partition: ``prefix`` and a number."""
    found: dict[int, str] = {}
    for number in itertools.count():
        if len(found) == MODEL_PARTITIONS:
            break
        found.setdefault(partition_of(f"{prefix}{number}"), f"{prefix}{number}")
    return tuple(found[partition] for partition in range(MODEL_PARTITIONS))
