"""What an announcement is worth, and what still has to be announced. Pure."""

from collections.abc import Mapping

from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.records import Entry, ModelUpdate

ANNOUNCED_AT_ONCE_MAX = 16
"""An announcement wakes readers for everything below it, so a long backlog needs its newest entries only."""

FOREIGN, DIFFERS, NOT_IN_LOG = "foreign-registry", "differs-from-log", "not-in-log"


def objection(log: ModelLog, recent: Mapping[int, Entry], announced: Entry) -> str:
    """Why an announced entry is not what the log holds: a reason for dead letters, or "".

    Args:
        log: the log, read at least up to the entry if the entry exists.
        recent: the newest entries, whole.
        announced: what came over Kafka.
    """
    if announced.registry_id != log.registry_id:
        return FOREIGN
    if announced.generation > log.head:
        return NOT_IN_LOG
    if log.event_ids[announced.generation - 1] != announced.event_id:
        return DIFFERS
    stands = recent.get(announced.generation)
    if stands is None and isinstance(announced, ModelUpdate):
        known = log.updates.get(announced.version)
        stands = known if known is not None and known.generation == announced.generation else None
    return DIFFERS if stands is not None and stands != announced else ""


def unannounced(head: int, announced: int | None) -> tuple[int, ...]:
    """The generations to announce now.

    Args:
        head: the log's.
        announced: the highest generation that was seen announced; None: nobody knows, then the head will do.
    """
    if head in (0, announced):
        return ()
    if announced is None:
        return (head,)
    return tuple(range(max(announced + 1, head + 1 - ANNOUNCED_AT_ONCE_MAX), head + 1))
