"""What the tracker says, from a model's entries and its regions' reports."""

from dataclasses import replace

from modelcast.agents.tracker.decider.fold import Known, fold
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.records import Entry, ModelAck, RegionState, VersionState
from tests.agents.tracker.makers import SECOND, log_of, pages, pod, snapshots_of

NOW_US = 1_000 * SECOND
TIMES = {g: g * 10 * SECOND for g in range(1, 100)}
BOTH = ("eu", "us")


def known(log: ModelLog, acks: list[ModelAck], expected: tuple[str, ...] = BOTH, **more: object) -> Known:
    return replace(
        Known(log, TIMES, snapshots_of(acks), dict.fromkeys(expected, NOW_US), expected),
        **more,  # type: ignore[arg-type]
    )


def state_of(entries: list[Entry], acks: list[ModelAck], **more: object) -> VersionState:
    return fold(known(log_of(*entries), acks, **more), NOW_US)  # type: ignore[arg-type]


def row(state: VersionState, region: str) -> RegionState:
    return next(r for r in state.regions if r.region == region)


def serving(region: str, version: int, generation: int, pods: int = 2, **more: object) -> list[ModelAck]:
    reports = [pod(f"{region}-{n}", version, generation) for n in range(pods)]
    return pages(region, reports, generation=generation, version=version, **more)  # type: ignore[arg-type]
