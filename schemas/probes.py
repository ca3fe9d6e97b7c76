"""Probes: records that go the way of announcements and acknowledgements, and are about no model.

Each partition of the model-keyed topics has one key. It holds a ``/``, so no model can have that name, and the answers
to a probe come to the worker that sent it: the topics are partitioned alike.
"""

from dataclasses import dataclass

from modelcast.schemas.topics import partition_keys

PREFIX = "probe/"

PROBE_KEYS: tuple[str, ...] = partition_keys(PREFIX)
"""The key of each partition's probes, by partition."""

_KEYS = frozenset(key.encode() for key in PROBE_KEYS)


def is_probe(key: bytes | None) -> bool:
    """Whether a record on ``model-updates`` or ``model-acks`` is a probe or an answer to one, by its key."""
    return key in _KEYS


@dataclass(frozen=True, slots=True)
class Probe:
    """Asks every region for an answer, on ``model-updates``. It is about no model and stands in no log."""

    registry_id: str
    probe_id: str
    worker: str  # the tracker's that sent it
    sent_at_us: int


@dataclass(frozen=True, slots=True)
class ProbeAnswer:
    """A region has read a probe; on ``model-acks``."""

    registry_id: str
    probe_id: str
    region: str
    worker: str
    announced_at_us: int  # when Kafka received the probe, by its clock


@dataclass(frozen=True, slots=True)
class ProbeRegion:
    """One region's row of a ``ProbeState``."""

    region: str
    answered_at_us: int  # its last answer on this partition, Kafka's clock; 0: none yet
    seconds: float | None  # from the probe on Kafka to the answer on Kafka; None: no answer to the newest probe
    asked: bool  # it was heard of when the newest probe was sent, or has answered it
    lost_today: int  # probes that it did not answer in time while it was heard


@dataclass(frozen=True, slots=True)
class ProbeState:
    """What the newest probe of a partition has told, and how many were lost this day."""

    registry_id: str
    partition: int
    probe_id: str
    worker: str  # the tracker's that sent it
    every_seconds: float  # between two probes, whatever the partition
    sent_at_us: int  # tracker's clock
    updated_at_us: int  # tracker's clock
    log_seconds: float | None  # a question to the registry in the origin store; None: no answer
    kafka_seconds: float | None  # from the tracker until Kafka had the probe; None: not yet
    tracker_seconds: float | None  # from the newest answer on Kafka until the tracker had read it
    answered_at_us: int  # the newest answer, Kafka's clock; 0: none yet
    day: int  # UTC days since the epoch
    finished_today: int  # probes of this partition that were answered by all, or lost
    lost_today: int  # of those: some region that is heard, or Kafka, did not answer in time
    trouble: str = ""  # what did not answer, for people
    regions: tuple[ProbeRegion, ...] = ()
