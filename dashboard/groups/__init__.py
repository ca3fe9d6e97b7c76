"""Consumer groups: how far each has read, in seconds, and whether it still reads."""

from modelcast.dashboard.groups.decider.judging import GroupView
from modelcast.dashboard.groups.decider.looks import GroupLook, PartitionLook
from modelcast.dashboard.groups.decider.statuses import GROUP_STATUSES, GroupStatus, group_rank
from modelcast.dashboard.groups.decider.troubles import (
    TRACKER_GROUP,
    GroupsSeen,
    group_problems,
    region_of,
    unknown_groups,
)
from modelcast.dashboard.groups.reader import GroupReader
from modelcast.dashboard.groups.watch import GroupsWatch

__all__ = [
    "GROUP_STATUSES",
    "TRACKER_GROUP",
    "GroupLook",
    "GroupReader",
    "GroupStatus",
    "GroupView",
    "GroupsSeen",
    "GroupsWatch",
    "PartitionLook",
    "group_problems",
    "group_rank",
    "region_of",
    "unknown_groups",
]
