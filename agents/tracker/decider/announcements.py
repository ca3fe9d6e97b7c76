"""What an announcement is worth, and what still has to be announced. Pure."""

from modelcast.schemas.log.chain import StatedEntry
from modelcast.schemas.log.fold import ModelLog

ANNOUNCED_AT_ONCE_MAX = 16
"""An announcement wakes readers for everything below it, so a long backlog needs its newest entries only."""

FOREIGN, DIFFERS, NOT_IN_LOG = "foreign-registry", "differs-from-log", "not-in-log"


def objection(log: ModelLog, announced: StatedEntry) -> str:
    """Why an announced entry is not what the log holds: a reason for dead letters, or "".

    Args:
        log: the log, read at least up to the entry if the entry exists.
        announced: what came over Kafka.
    """
    if announced.entry.registry_id != log.registry_id:
        return FOREIGN
    if announced.entry.generation > log.head:
        return NOT_IN_LOG
    return "" if log.stands(announced) else DIFFERS


def unannounced(head: int, announced: int | None) -> tuple[int, ...]:
    """The generations to announce now.

    Args:
        head: the log's.
        announced: the highest generation that was seen announced; None: not known, then the head is taken.
    """
    if head in (0, announced):
        return ()
    if announced is None:
        return (head,)
    return tuple(range(max(announced + 1, head + 1 - ANNOUNCED_AT_ONCE_MAX), head + 1))
