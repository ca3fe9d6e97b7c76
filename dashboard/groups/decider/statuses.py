"""The statuses of consumer groups: those of LinkedIn's Burrow."""

from enum import StrEnum


class GroupStatus(StrEnum):
    """Worst first."""

    STOP = "STOP"
    STALL = "STALL"
    REWIND = "REWIND"
    ERR = "ERR"
    WARN = "WARN"
    NONE = "NONE"
    OK = "OK"


GROUP_STATUSES: dict[GroupStatus, str] = {
    GroupStatus.STOP: "records wait, and the group has no member",
    GroupStatus.STALL: "records wait, and the group has read none of them for a minute",
    GroupStatus.REWIND: "the group went back to older records",
    GroupStatus.ERR: "Kafka does not say how far the group has read",
    GroupStatus.WARN: "the group reads, but falls further behind",
    GroupStatus.NONE: "the group has never committed an offset",
    GroupStatus.OK: "the group has read everything, or catches up",
}
_RANK = {status: place for place, status in enumerate(GroupStatus)}


def group_rank(status: GroupStatus) -> int:
    """0: the worst."""
    return _RANK[status]
