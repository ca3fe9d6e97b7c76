"""States as the tracker says them, for tests of what is shown."""

import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from modelcast.schemas.records import RegionState, VersionState
from modelcast.schemas.states import State

SECOND = 1_000_000
NOW = 1_800_000_000 * SECOND
REGISTRY = "registry-of-the-dashboard"


def row(region: str, *, behind_seconds: float = 0.0, **changes: Any) -> RegionState:
    """A region that serves version 7 with two pods, as it should."""
    well = RegionState(
        region=region,
        state=State.SERVING,
        aspired_version=7,
        aspired_generation=7,
        aspired_digest="sha256:" + "7" * 64,
        staged_version=7,
        staged_generation=7,
        served_version=7,
        reported_version=7,
        served_generation=7,
        pods_serving=2,
        pods_expected=2,
        behind_since_us=NOW - round(behind_seconds * SECOND) if behind_seconds else 0,
        silent=False,
        reported_at_us=NOW - 5 * SECOND,
        heard_at_us=NOW - 2 * SECOND,
        read_at_us=NOW - 6 * SECOND,
        moved_at_us=NOW - 5 * SECOND,
    )
    return replace(well, **changes)


def fetching(region: str, behind_seconds: float, **changes: Any) -> RegionState:
    """A region that serves version 7 and fetches 8."""
    ahead = {
        "state": State.FETCHING, "aspired_version": 8, "aspired_generation": 8, "pods_serving": 0,
        "bytes_moved": 12 * 2**20, "bytes_planned": 68 * 2**20, "bytes_total": 68 * 2**20,
        "bytes_per_second": 3.0 * 2**20,
    }  # fmt: skip
    return row(region, behind_seconds=behind_seconds, **{**ahead, **changes})


def state(model: str, rows: Iterable[RegionState], *, updated_at_us: int = NOW, **changes: Any) -> VersionState:
    """A model's state with these regions."""
    regions = tuple(rows)
    served = {r.served_version for r in regions if not r.left_out}
    said = VersionState(
        registry_id=REGISTRY,
        model=model,
        head_generation=8,
        latest_version=max((r.aspired_version or 0 for r in regions), default=0) or None,
        consistent_version=next(iter(served)) if len(served) == 1 else None,
        consistent_since_us=NOW - 3600 * SECOND if len(served) == 1 else 0,
        last_consistent_version=7,
        behind_since_us=min((r.behind_since_us for r in regions if r.behind_since_us), default=0),
        skew=max(0, len(served) - 1),
        skew_since_us=NOW - 60 * SECOND if len(served) > 1 else 0,
        updated_at_us=updated_at_us,
        regions=regions,
    )
    return replace(said, **changes)


def as_of_now(it: RegionState) -> RegionState:
    """The row as if it was reported a moment ago."""
    now_us = time.time_ns() // 1000
    since_us = it.behind_since_us and now_us - (NOW - it.behind_since_us)
    spans_us = it.spans_since_us and now_us - (NOW - it.spans_since_us)
    return replace(
        it,
        reported_at_us=now_us - 5 * SECOND,
        heard_at_us=now_us - 2 * SECOND,
        read_at_us=now_us - 6 * SECOND,
        moved_at_us=now_us - 5 * SECOND,
        behind_since_us=since_us,
        spans_since_us=spans_us,
    )


def now_state(model: str, rows: Iterable[RegionState], **changes: Any) -> VersionState:
    """A state that the tracker says now, of rows that were reported a moment ago."""
    return state(model, [as_of_now(each) for each in rows], updated_at_us=time.time_ns() // 1000, **changes)


def refusing(region: str, **changes: Any) -> RegionState:
    """A region that serves version 7 and found 8 damaged."""
    found: dict[str, Any] = {
        "state": State.QUARANTINED, "aspired_version": 8, "aspired_generation": 8, "pods_serving": 0,
        "refused_version": 8,
    }  # fmt: skip
    return row(region, **{**found, **changes})
