"""The keys of probes: records that go the way of announcements and acknowledgements, and are about no model.

Each partition of the model-keyed topics has one key. It holds a ``/``, so no model can have that name, and the answers
to a probe come to the worker that sent it: the topics are partitioned alike.
"""

import itertools

from modelcast.schemas.topics import MODEL_PARTITIONS, partition_of

PREFIX = "probe/"


def _keys() -> tuple[str, ...]:
    found: dict[int, str] = {}
    for number in itertools.count():
        if len(found) == MODEL_PARTITIONS:
            return tuple(found[partition] for partition in range(MODEL_PARTITIONS))
        found.setdefault(partition_of(f"{PREFIX}{number}"), f"{PREFIX}{number}")
    raise AssertionError


PROBE_KEYS: tuple[str, ...] = _keys()
"""The key of each partition's probes, by partition."""

_KEYS = frozenset(key.encode() for key in PROBE_KEYS)


def is_probe(key: bytes | None) -> bool:
    """Whether a record on ``model-updates`` or ``model-acks`` is a probe or an answer to one, by its key."""
    return key in _KEYS
