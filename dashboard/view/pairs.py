"""A pair: one model in one region, with its status."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from sys import intern

from modelcast.schemas.records import RegionState, VersionState
from modelcast.schemas.statuses import (
    Limits,
    Status,
    as_known,
    count_serving,
    counts,
    expires_at_us,
    serves_aspired,
    status_of,
)


@dataclass(frozen=True, slots=True)
class Pair:
    """One model in one region.

    Attributes:
        model: its name.
        row: what is known of it now, without the pods: a region that is silent or was not read back serves nothing.
        reported: what the tracker reported of it; the same, unless time has passed since.
        status: how it stands.
        since_us: since when, UTC microseconds; of what is behind: when the store received the entry; 0: not known.
        until_us: when the status or the row changes by the clock alone; 0: never.
    """

    model: str
    row: RegionState
    reported: RegionState
    status: Status
    since_us: int
    until_us: int

    @property
    def counted(self) -> bool:
        """Whether it counts for the model's status and in every "n of n"."""
        return counts(self.row)


@dataclass(frozen=True, slots=True)
class ModelView:
    """One model as it is shown.

    Attributes:
        state: what is known of it now, without regions.
        reported: what the tracker reported of it, without regions.
        pairs: its pairs, by region.
        status: the worst of the counted pairs.
        appended_us: up to when all that regions reported is in it, by this machine's clock.
        source: where it was read: ``kafka`` or ``redis``.
        until_us: when a pair's status changes by the clock alone; 0: never.
        statuses: how many counted pairs have each status.
        troubled: the counted pairs whose status a person wants to see.
        said_us: when the state was said, tracker's clock; what is told of it since names it by that.
    """

    state: VersionState
    reported: VersionState
    pairs: Mapping[str, Pair]
    status: Status
    appended_us: int
    source: str
    until_us: int
    statuses: Mapping[Status, int]
    troubled: tuple[Pair, ...]
    said_us: int

    @property
    def serving(self) -> int:
        """How many counted regions serve the aspired version."""
        return count_serving(self.statuses)

    @property
    def counted(self) -> int:
        """Of how many: a region whose row did not fit counts, and is not known to serve."""
        return sum(self.statuses.values()) + self.state.regions_omitted

    @property
    def consistent_version(self) -> int | None:
        """The version that all regions that count for it are known to serve now; None: there is none."""
        return self.state.consistent_version


def make_pair(state: VersionState, row: RegionState, before: Pair | None, now_us: int, limits: Limits) -> Pair:
    """The pair that a row of a state means; ``before`` tells since when."""
    reported = _without_pods(row) if row.pods else row
    row, expires_us = as_known(reported, now_us, limits), expires_at_us(reported, limits)
    worded = status_of(row, now_us, limits, alarm=bool(state.alarm))
    ends = [at for at in (worded.until_us, expires_us + 1) if at > now_us]
    since_us = _since_us(worded.status, row, before, now_us)
    return Pair(state.model, row, reported, worded.status, since_us, min(ends, default=0))


def _without_pods(row: RegionState) -> RegionState:
    """The row as it is kept; what is the same in many rows is kept once."""
    error = row.error or _error_of_a_pod(row)
    region, digest, way = intern(row.region), intern(row.aspired_digest), intern(row.way)
    return replace(row, pods=(), error=error, region=region, aspired_digest=digest, way=way)


def _error_of_a_pod(row: RegionState) -> str:
    """Which pod does not serve what it should and why, where the region itself gives no reason."""
    return "" if serves_aspired(row) else next((f"{pod.pod}: {pod.error}" for pod in row.pods if pod.error), "")


def _since_us(status: Status, row: RegionState, before: Pair | None, now_us: int) -> int:
    if status is Status.SILENT:
        return row.heard_at_us if row.silent else row.read_at_us
    if row.behind_since_us:
        return row.behind_since_us
    if before is None:
        return 0
    return before.since_us if before.status is status else now_us
