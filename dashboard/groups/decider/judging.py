"""A consumer group's status and lag, from several looks at it. Pure.

The statuses follow Burrow's evaluation rules (github.com/linkedin/Burrow, core/internal/evaluator/caching.go): a lag of
zero anywhere in the window is well, then rewind, stop, stall, and a lag that never falls. Burrow reads the times of
commits; Kafka's admin API tells none, so that STOP is what Kafka does tell: no member. Seconds are exact, not
interpolated: Kafka's own time of the first record that was not read.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from modelcast.dashboard.groups.decider.looks import GroupLook, PartitionLook
from modelcast.dashboard.groups.decider.statuses import GroupStatus, group_rank

WINDOW = 13
"""Looks that are judged together."""


@dataclass(frozen=True, slots=True)
class PartitionView:
    """A partition as it is shown.

    Attributes:
        lag_seconds: how long the first unread record has waited; 0: all is read; None: not known.
        at_least: records were deleted before they were read: the lag was longer.
    """

    topic: str
    partition: int
    status: GroupStatus
    lag_records: int
    lag_seconds: float | None
    at_least: bool
    committed: int | None
    end: int
    error: str


@dataclass(frozen=True, slots=True)
class GroupView:
    """A group as it is shown.

    Attributes:
        lag_records: None: not known.
        lag_seconds: of its slowest partition; None: not known.
        moved_at_us: when its offsets were last seen to move forward; 0: not since the looks began.
        trend: its unread records at the last looks, oldest first.
        partitions: slowest first.
        error: what is not known, and why.
    """

    group: str
    status: GroupStatus
    members: int | None
    lag_records: int | None
    lag_seconds: float | None
    at_least: bool
    moved_at_us: int
    trend: tuple[int, ...]
    partitions: tuple[PartitionView, ...]
    error: str


def group_view(looks: Sequence[tuple[int, GroupLook]]) -> GroupView:
    """A group's view, from the looks at it.

    Args:
        looks: (when, UTC microseconds; what was found), oldest first, at least one; the last ``WINDOW`` count.
    """
    window = list(looks[-WINDOW:])
    now_us, newest = window[-1]
    views = [
        _partition(each, [_of(look, each.topic, each.partition) for _, look in window[:-1]], newest.members, now_us)
        for each in newest.partitions
    ]
    views.sort(key=lambda v: (group_rank(v.status), -(v.lag_seconds or 0.0), -v.lag_records, v.topic, v.partition))
    known = [v.lag_seconds for v in views if v.lag_seconds is not None]
    faults = list(dict.fromkeys(filter(None, [newest.error, *(v.error for v in views)])))
    return GroupView(
        group=newest.group,
        status=_status(newest, views),
        members=newest.members,
        lag_records=sum(v.lag_records for v in views) if views or not newest.error else None,
        lag_seconds=max(known) if known else None,
        at_least=any(v.at_least or (v.lag_seconds is None and not v.error) for v in views),
        moved_at_us=_moved_at_us(looks),
        trend=tuple(sum(p.unread for p in look.partitions) for _, look in window),
        partitions=tuple(views),
        error="; ".join(faults),
    )


def _status(newest: GroupLook, views: list[PartitionView]) -> GroupStatus:
    if newest.error:
        return GroupStatus.ERR
    if all(p.committed is None for p in newest.partitions):
        waiting = any(p.unread for p in newest.partitions)
        return GroupStatus.STOP if waiting and newest.members == 0 else GroupStatus.NONE
    return min((v.status for v in views), key=group_rank, default=GroupStatus.NONE)


def _of(look: GroupLook, topic: str, partition: int) -> PartitionLook | None:
    return next((p for p in look.partitions if (p.topic, p.partition) == (topic, partition) and not p.error), None)


def _partition(
    newest: PartitionLook, earlier: list[PartitionLook | None], members: int | None, now_us: int
) -> PartitionView:
    lag_seconds: float | None = 0.0
    if newest.unread or newest.error:
        since_us = newest.unread_since_us
        lag_seconds = None if since_us is None else max(0.0, (now_us - since_us) / 1_000_000)
    looks = [*(look for look in earlier if look is not None), newest]
    return PartitionView(
        topic=newest.topic,
        partition=newest.partition,
        status=GroupStatus.ERR if newest.error else _partition_status(looks, members),
        lag_records=newest.unread,
        lag_seconds=lag_seconds,
        at_least=newest.lost,
        committed=newest.committed,
        end=newest.end,
        error=newest.error,
    )


def _partition_status(looks: list[PartitionLook], members: int | None) -> GroupStatus:
    """Burrow's rules, in its order."""
    if not all(look.unread for look in looks):
        return GroupStatus.OK
    positions = [look.position for look in looks]
    steps = list(itertools.pairwise(positions))
    if any(later < earlier for earlier, later in steps):
        return GroupStatus.REWIND
    if members == 0:
        return GroupStatus.STOP
    if len(looks) < WINDOW:
        return GroupStatus.OK  # too little was seen to say more
    if positions[0] == positions[-1]:
        return GroupStatus.STALL
    unread = [look.unread for look in looks]
    falls = any(later < earlier for earlier, later in itertools.pairwise(unread))
    return GroupStatus.WARN if not falls and unread[-1] > unread[0] else GroupStatus.OK


def _moved_at_us(looks: Sequence[tuple[int, GroupLook]]) -> int:
    """The newest look that found an offset further on than the look before it."""
    for (_, before), (at_us, after) in reversed(list(itertools.pairwise(looks))):
        earlier = {(p.topic, p.partition): p.committed or 0 for p in before.partitions if not p.error}
        if any((p.committed or 0) > earlier.get((p.topic, p.partition), p.committed or 0) for p in after.partitions):
            return at_us
    return 0
