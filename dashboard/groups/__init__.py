"""Consumer groups: how far each has read, in seconds, and whether it still reads."""

from modelcast.dashboard.groups.decider.judging import GroupView
from modelcast.dashboard.groups.decider.looks import GroupLook, PartitionLook
from modelcast.dashboard.groups.decider.statuses import GROUP_STATUSES, GroupStatus, group_rank
from modelcast.dashboard.groups.reader import GroupReader
from modelcast.dashboard.groups.watch import GroupsWatch

__all__ = [
    "GROUP_STATUSES",
    "GroupLook",
    "GroupReader",
    "GroupStatus",
    "GroupView",
    "GroupsWatch",
    "PartitionLook",
    "group_rank",
]
