"""A pair: one model in one region, with its status."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from modelcast.schemas.records import RegionState, VersionState
from modelcast.schemas.statuses import Limits, PairFacts, Status, counts, first_facts, status_of


@dataclass(frozen=True, slots=True)
class Pair:
    """One model in one region.

    Attributes:
        model: its name.
        row: what the tracker reports of it, without the pods.
        status: how it stands.
        since_us: since when, UTC microseconds; of what is behind: when the store received the entry; 0: not known.
        until_us: when the status changes by the clock alone; 0: never.
        moved_at_us: when bytes or state last moved.
        behind_since_us: when the store received the oldest entry that is not served; 0: not behind.
        read_at_us: when it was last reported what its pods serve, by the tracker's clock.
    """

    model: str
    row: RegionState
    status: Status
    since_us: int
    until_us: int
    moved_at_us: int
    behind_since_us: int
    read_at_us: int

    @property
    def counted(self) -> bool:
        """Whether it counts for the model's status and in every "n of n"."""
        return counts(self.row)


@dataclass(frozen=True, slots=True)
class ModelView:
    """One model as it is shown.

    Attributes:
        state: what the tracker reports, without regions.
        pairs: its pairs, by region.
        status: the worst of the counted pairs.
        appended_us: up to when all that regions reported is in it, by this machine's clock.
        source: where it was read: ``kafka`` or ``redis``.
        until_us: when a pair's status changes by the clock alone; 0: never.
        statuses: how many counted pairs have each status.
        troubled: the counted pairs whose status a person wants to see.
    """

    state: VersionState
    pairs: Mapping[str, Pair]
    status: Status
    appended_us: int
    source: str
    until_us: int
    statuses: Mapping[Status, int]
    troubled: tuple[Pair, ...]


def make_pair(state: VersionState, row: RegionState, before: Pair | None, now_us: int, limits: Limits) -> Pair:
    """The pair that a row of a state means; ``before`` tells since when."""
    row = replace(row, pods=())
    facts = _facts(state, row, before, now_us)
    found = status_of(facts, now_us, limits)
    since_us = _since_us(found.status, row, facts.behind_since_us, before, now_us)
    times = facts.moved_at_us, facts.behind_since_us, facts.read_at_us
    return Pair(state.model, row, found.status, since_us, found.until_us, *times)


def _facts(state: VersionState, row: RegionState, before: Pair | None, now_us: int) -> PairFacts:
    first = first_facts(state, row, now_us)
    if before is None:
        return first
    return replace(
        first,
        moved_at_us=before.moved_at_us if _progress(before.row) == _progress(row) else now_us,
        read_at_us=before.read_at_us if before.row.reported_at_us == row.reported_at_us else state.updated_at_us,
    )


def _progress(row: RegionState) -> tuple[object, ...]:
    return (row.state, row.bytes_moved, row.pods_serving, row.staged_version, row.aspired_generation)


def _since_us(status: Status, row: RegionState, behind_since_us: int, before: Pair | None, now_us: int) -> int:
    if status is Status.SILENT:
        return row.heard_at_us if row.silent else row.reported_at_us
    if behind_since_us:
        return behind_since_us
    if before is None:
        return 0
    return before.since_us if before.status is status else now_us
