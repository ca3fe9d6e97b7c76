"""Statuses: how a model stands in a region, in one word. Command line, page, API, metrics and alerts use these.

``status_of`` is a table from top to bottom; the first line that matches wins. What is late only because time passes
needs no news: the answer carries ``until_us``, when it changes by the clock alone.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from modelcast.schemas.records import RegionState, VersionState
from modelcast.schemas.states import State

MICROS = 1_000_000
PLACEMENT, UNEXPECTED = "placement", "unexpected"


class Status(StrEnum):
    """Worst first. ``LOOKS`` says what each means."""

    ALARM = "ALARM"
    SILENT = "SILENT"
    REFUSED = "REFUSED"
    FAILED = "FAILED"
    STALLED = "STALLED"
    LATE = "LATE"
    LAG = "LAG"
    EMPTY = "EMPTY"
    HELD = "HELD"
    OUT = "OUT"
    NONE = "NONE"
    OK = "OK"


@dataclass(frozen=True, slots=True)
class Look:
    """How a status looks everywhere. Shapes differ, so that no one has to tell colours apart.

    Attributes:
        shape: one character, for a cell of the matrix.
        light: its colour on white, ``#rrggbb``.
        dark: its colour on black.
        means: a sentence for people.
        serves_aspired: whether such a pair counts as serving the aspired version.
    """

    shape: str
    light: str
    dark: str
    means: str
    serves_aspired: bool = False


LOOKS: dict[Status, Look] = {
    Status.ALARM: Look(
        "‼", "#7f1d1d", "#fecaca", "bytes that are not in the log, a foreign registry or a rewritten log"
    ),
    Status.SILENT: Look("▯", "#6b21a8", "#c4a1ff", "no report came in time; what is shown is the last report"),
    Status.REFUSED: Look(
        "⊘", "#9d174d", "#f9a8d4", "a version is damaged, quarantined or cut off as a candidate; the old one serves"
    ),
    Status.FAILED: Look("✕", "#b42318", "#ff8a80", "tried without success; where a retry can help, it is tried again"),
    Status.STALLED: Look("▬", "#a33c00", "#fb923c", "behind, and nothing moves"),
    Status.LATE: Look("▮", "#a33c00", "#fb923c", "behind for longer than `late_seconds`"),
    Status.LAG: Look("◢", "#7a5c00", "#facc15", "behind, and not yet late"),
    Status.EMPTY: Look("○", "#595959", "#a8a8a8", "the region has no pods: what it has staged, nothing serves"),
    Status.HELD: Look("=", "#1d4ed8", "#8ab4f8", "pinned or paused by a person, and serves what it is held at", True),
    Status.OUT: Look(" ", "#595959", "#a8a8a8", "outside the placement, or not among the expected regions"),
    Status.NONE: Look("?", "#595959", "#a8a8a8", "never reported"),
    Status.OK: Look("·", "#1a7f37", "#4ade80", "every pod was read back in time and serves the aspired version", True),
}
_RANK = {status: rank for rank, status in enumerate(Status)}
TROUBLE = frozenset(
    {
        Status.ALARM,
        Status.SILENT,
        Status.REFUSED,
        Status.FAILED,
        Status.STALLED,
        Status.LATE,
        Status.LAG,
        Status.EMPTY,
        Status.NONE,
    }
)
"""Statuses that a person wants to see; the others are as they should be."""
BEHIND = frozenset({Status.FAILED, Status.STALLED, Status.LATE, Status.LAG})
MAY_STALL = frozenset({Status.STALLED, Status.LATE, Status.LAG})
"""Such a pair is STALLED once nothing has moved there for ``stalled_seconds``."""
MAY_BE_LATE = BEHIND | {Status.REFUSED}
"""A pair of any other status is in no count of what is late, whatever it owes: an alarm and a silent region are told by
themselves, and a region without pods owes nothing."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When a status turns into a worse one.

    Attributes:
        late_seconds: behind for longer is LATE.
        stalled_seconds: behind, and nothing moved for longer, is STALLED.
        read_back_seconds: what was not read back for longer is SILENT: no one knows whether it still serves.
    """

    late_seconds: float = 60.0
    stalled_seconds: float = 60.0
    read_back_seconds: float = 600.0


@dataclass(frozen=True, slots=True)
class StatusUntil:
    """A status, and until when it stands if nothing is heard (UTC microseconds; 0: until something is heard)."""

    status: Status
    until_us: int = 0


def counts(row: RegionState) -> bool:
    """Whether the pair counts: for the model's status, and in every "n of n"."""
    return row.left_out not in (PLACEMENT, UNEXPECTED)


def count_statuses(pairs: Iterable[tuple[RegionState, Status]]) -> Counter[Status]:
    """How many of the pairs that count have each status. Tracker, dashboard and command line count by this alone."""
    return Counter(status for row, status in pairs if counts(row))


def count_serving(statuses: Mapping[Status, int]) -> int:
    """How many of the counted pairs serve the aspired version."""
    return sum(count for status, count in statuses.items() if LOOKS[status].serves_aspired)


def serves_aspired(row: RegionState) -> bool:
    """Whether every expected pod serves the aspired version, by the last report."""
    return (
        row.aspired_version is not None
        and row.served_version == row.aspired_version
        and 0 < row.pods_expected <= row.pods_serving
    )


def expires_at_us(row: RegionState, limits: Limits) -> int:
    """Until when what the row says of its pods counts, UTC microseconds; 0: it says nothing that time takes back."""
    if row.silent or row.unread or not (row.read_at_us or row.pods_serving or row.served_version is not None):
        return 0
    return row.read_at_us + round(limits.read_back_seconds * MICROS)


def as_known(row: RegionState, now_us: int, limits: Limits) -> RegionState:
    """The row as it is known at ``now_us``: a region that is silent, or was not read back in time, serves nothing.

    The tracker's own rule. Whoever shows a row applies it again, because there may be no tracker any more.
    """
    unread = row.unread or 0 < expires_at_us(row, limits) < now_us
    if not (unread or row.silent) or (unread is row.unread and row.served_version is None and not row.pods_serving):
        return row
    return replace(row, unread=unread, served_version=None, pods_serving=0, rollover="")


def state_as_known(state: VersionState, now_us: int, limits: Limits) -> VersionState:
    """The state as it is known at ``now_us``: see ``as_known``."""
    return with_rows(state, tuple(as_known(row, now_us, limits) for row in state.regions))


def with_rows(state: VersionState, rows: tuple[RegionState, ...]) -> VersionState:
    """The state with these rows; no version is consistent if one of them that counts for it is not known."""
    lost = state.consistent_version is not None and any((r.silent or r.unread) and not r.left_out for r in rows)
    if lost:
        return replace(state, regions=rows, consistent_version=None, consistent_since_us=0)
    return replace(state, regions=rows)


def status_of(row: RegionState, now_us: int, limits: Limits, *, alarm: bool = False) -> StatusUntil:
    """A pair's status at ``now_us``, by the clock of the tracker that wrote the row.

    Args:
        row: the region's row of the model's state.
        now_us: UTC microseconds.
        limits: when a status turns into a worse one.
        alarm: whether the model has an alarm.
    """
    if alarm:
        return StatusUntil(Status.ALARM)
    if row.left_out == UNEXPECTED:
        return StatusUntil(Status.OUT)  # before the rest: a region that was taken out of service is no trouble
    expires_us = expires_at_us(row, limits)
    unread = row.unread or 0 < expires_us < now_us
    if unread or (row.silent and (row.heard_at_us or row.state is not None)):
        return StatusUntil(Status.SILENT)
    worded = _heard(row, now_us, limits)
    ends = [at for at in (worded.until_us, expires_us and expires_us + 1) if at]
    return StatusUntil(worded.status, min(ends, default=0))


def _heard(row: RegionState, now_us: int, limits: Limits) -> StatusUntil:
    """The status of a row whose pods were read back in time, or that has none; until when, but for that."""
    if row.state is State.QUARANTINED or (row.refused_version is not None and not serves_aspired(row)):
        return StatusUntil(Status.REFUSED)
    if row.state is State.FAILED:
        return StatusUntil(Status.FAILED)
    reported = row.state is not None or not row.silent  # a region that is heard is on its way to its first report
    if row.state is not None and row.aspired_version is not None and not row.pods_expected:
        return StatusUntil(Status.EMPTY)  # no lag of its own making: who scaled it to zero knows
    if reported and row.aspired_version is not None and not serves_aspired(row):
        return _behind(row, now_us, limits)
    if row.left_out == PLACEMENT:
        return StatusUntil(Status.OUT)
    if row.state is None or row.aspired_version is None:
        return StatusUntil(Status.NONE)
    return StatusUntil(Status.HELD if row.paused or row.pinned_version is not None else Status.OK)


def _behind(row: RegionState, now_us: int, limits: Limits) -> StatusUntil:
    stalled_us = row.moved_at_us + round(limits.stalled_seconds * MICROS) if row.moved_at_us else 0
    late_us = row.behind_since_us + round(limits.late_seconds * MICROS) if row.behind_since_us else 0
    if stalled_us and now_us > stalled_us:
        return StatusUntil(Status.STALLED)
    soonest = min((at for at in (stalled_us, late_us) if at >= now_us), default=0)
    status = Status.LATE if late_us and now_us > late_us else Status.LAG
    return StatusUntil(status, soonest + 1 if soonest else 0)


def rank(status: Status) -> int:
    """Sorts worst first."""
    return _RANK[status]


def worst(statuses: Iterable[Status]) -> Status:
    """The worst of them; NONE if there are none."""
    return min(statuses, key=_RANK.__getitem__, default=Status.NONE)
