"""What a region's row of a ``VersionState`` says is so, and the change that it makes. Pure."""

from collections.abc import Mapping

from modelcast.schemas.records import RegionState, VersionChange, VersionState
from modelcast.schemas.statuses import Limits, Status, status_of

MS = 1000
BY_TIME_ALONE = frozenset({Status.LATE, Status.STALLED})
"""What LAG becomes although nothing is reported: readers know the time, too."""
_LIMITS = Limits()


def row_traits(state: VersionState, row: RegionState) -> tuple[object, ...]:
    """All of a row that a change depends on, or a confirmation; equal ones need no second look."""
    return (
        row.state, row.silent, row.unread, row.served_version, row.reported_version, row.served_generation,
        row.aspired_version, row.pods_serving, row.pods_expected, row.left_out, row.refused_version, row.paused,
        row.pinned_version, row.reported_at_us, row.heard_at_us > 0, bool(state.alarm),
    )  # fmt: skip


def change_of(state: VersionState, row: RegionState, digests: Mapping[int, str], now_us: int) -> VersionChange:
    """What is so in a region from ``now_us`` (tracker's clock) on; what was before is not looked at."""
    version = row.served_version if row.served_version is not None else row.reported_version
    return VersionChange(
        state.registry_id,
        state.model,
        row.region,
        _status(state, row, now_us).value,
        now_us // MS * MS,
        0,
        version,
        digests.get(version, "") if version is not None else "",
        row.served_generation,
        row.pods_serving,
        row.pods_expected,
        row.reported_at_us // MS * MS,
    )


def _status(state: VersionState, row: RegionState, now_us: int) -> Status:
    if row.unread or (row.silent and (row.heard_at_us or row.state is not None)):
        return Status.SILENT  # also where the model is in ALARM: what is served is not known
    status = status_of(row, now_us, _LIMITS, alarm=bool(state.alarm)).status
    return Status.LAG if status in BY_TIME_ALONE else status
