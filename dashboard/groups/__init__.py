"""Consumer groups: how far each has read, in seconds, and whether it still reads."""

from modelcast.dashboard.groups.judging import GroupView, PartitionView, group_view
from modelcast.dashboard.groups.looks import GroupLook, GroupsLook, PartitionLook
from modelcast.dashboard.groups.reader import GroupReader
from modelcast.dashboard.groups.statuses import GROUP_STATUSES, GroupStatus, group_rank
from modelcast.dashboard.groups.watch import GroupsWatch

__all__ = [
    "GROUP_STATUSES",
    "GroupLook",
    "GroupReader",
    "GroupStatus",
    "GroupView",
    "GroupsLook",
    "GroupsWatch",
    "PartitionLook",
    "PartitionView",
    "group_rank",
    "group_view",
]
