"""What is told of a state without repeating it: that it holds, as of when, and how old its read-backs are."""

from collections.abc import Mapping
from dataclasses import dataclass

from modelcast.agents.tracker.decider.snapshots import Snapshot
from modelcast.schemas.records import RegionState, VersionState
from modelcast.schemas.unchanged import UnchangedState

OLD_SHARE = 0.7
"""Of the time for which a read-back counts: a state that is read to be older, and is not, is sent whole again. One
region that is not read back must not make readers doubt the others."""

CLOCKS_US = 30_000_000
"""What is known of a region's clock may change by less; a read-back that is older than was said by more is news."""


@dataclass(frozen=True, slots=True)
class StateRenewal:
    """The record that renews a model's state, or that the state must be sent whole."""

    row: UnchangedState
    send_whole: bool = False


def state_renewal(
    state: VersionState,
    snapshots: Mapping[str, Snapshot],
    ahead_of_us: Mapping[str, int],
    as_of_us: int,
    now_us: int,
    unread_seconds: float,
) -> StateRenewal:
    """What renews the state that was sent last.

    Args:
        state: as it was sent.
        snapshots: each region's newest report, which says what the state does.
        ahead_of_us: how far our clock is ahead of each region's.
        as_of_us: every acknowledgement up to here was read.
        now_us: UTC microseconds.
        unread_seconds: a read-back counts for so long.
    """
    heard = [row for row in state.regions if row.read_at_us and not row.silent and not row.unread]
    read_us = [_read_at_us(row, snapshots.get(row.region), ahead_of_us, now_us) for row in heard]
    floor_us = min(read_us, default=0)
    old_us = now_us - int(OLD_SHARE * unread_seconds * 1_000_000)
    told = UnchangedState(state.model, state.updated_at_us, min(as_of_us, now_us), floor_us)
    return StateRenewal(
        told,
        send_whole=any(
            (max(row.read_at_us, floor_us) < old_us and at > row.read_at_us and at > floor_us)
            or at < row.read_at_us - CLOCKS_US
            for row, at in zip(heard, read_us, strict=True)
        ),
    )


def _read_at_us(row: RegionState, snapshot: Snapshot | None, ahead_of_us: Mapping[str, int], now_us: int) -> int:
    """When a region's pods were last read back, by our clock; a time that has not come proves nothing new."""
    if snapshot is None:
        return row.read_at_us
    ahead = ahead_of_us.get(row.region, 0)
    at_us = min((g.read_at_us_min + ahead for g in snapshot.pods if g.confirmed), default=0)
    return at_us if at_us <= now_us else row.read_at_us
