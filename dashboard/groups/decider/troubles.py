"""Consumer groups that do not read what waits for them, as lines of what is wrong. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from modelcast.dashboard.groups.decider.judging import GroupView
from modelcast.dashboard.groups.decider.statuses import GROUP_STATUSES, GroupStatus
from modelcast.dashboard.view.problems import REASON_CHARS_MAX, Problem
from modelcast.schemas.quantities import duration, plural
from modelcast.schemas.statuses import Status

STOPPED_SECONDS = 15.0
"""A group without a member whose records wait for less is being restarted."""
REGION_GROUP = "modelcast-region-"
TRACKER_GROUP = "modelcast-tracker"


@dataclass(frozen=True, slots=True)
class GroupsSeen:
    """What the newest look that succeeded found.

    Attributes:
        groups: as they are shown.
        looked_at_us: when that was, UTC microseconds; 0: never.
        error: why the last look failed; "": it did not.
    """

    groups: tuple[GroupView, ...] = ()
    looked_at_us: int = 0
    error: str = ""


def group_problems(seen: GroupsSeen, late_seconds: float, expected: Callable[[str], bool]) -> list[Problem]:
    """One line a group that stopped, stands still, or leaves a record unread for longer than ``late_seconds``.

    Args:
        seen: what is known of them.
        late_seconds: a record that waits for longer is late.
        expected: whether a group ought to read, by its name, and nothing else tells why it does not.
    """
    found: list[Problem] = []
    if seen.error:
        return found  # how it was when they were looked at last says nothing of now
    for group in seen.groups:
        judged = _judged(group, late_seconds)
        if judged is None or not expected(group.group):
            continue
        status, reason = judged
        waits_us = round((group.lag_seconds or 0.0) * 1_000_000)
        found.append(
            Problem(
                id=f"group:{group.group}",
                status=status,
                cause="group",
                title=f"consumer group {group.group}",
                pairs=0,
                pairs_of=0,
                since_us=(seen.looked_at_us - waits_us) // 1_000_000 * 1_000_000 if waits_us else 0,
                reason=reason[:REASON_CHARS_MAX],
                command="modelcast doctor --only kafka",
                region=region_of(group.group),
            )
        )
    return found


def region_of(group: str) -> str:
    """The region whose group it is, or ""."""
    return group.removeprefix(REGION_GROUP) if group.startswith(REGION_GROUP) else ""


def unknown_groups(seen: GroupsSeen) -> str:
    """Of which groups nothing is known, for people; "": of none."""
    if seen.error:
        return "how far consumer groups have read is not known"
    unknown = sum(group.status is GroupStatus.ERR for group in seen.groups)
    return f"of {plural(unknown, 'consumer group')} it is not known how far they have read" if unknown else ""


def _judged(group: GroupView, late_seconds: float) -> tuple[Status, str] | None:
    waits = group.lag_seconds
    if group.status is GroupStatus.STALL or (
        group.status is GroupStatus.STOP and (waits is None or waits >= STOPPED_SECONDS)
    ):
        return Status.STALLED, f"{group.status}: {GROUP_STATUSES[group.status]}"
    if group.status is not GroupStatus.STOP and waits is not None and waits > late_seconds:
        topic = next((p.topic for p in group.partitions if p.lag_seconds == waits), "")
        return Status.LATE, f"a record of {topic} has waited for longer than {duration(late_seconds)} to be read"
    return None
