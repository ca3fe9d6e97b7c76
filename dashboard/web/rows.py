"""One row of what the API answers: a pair, a model, a region, a worker. Times are UTC microseconds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from modelcast.dashboard.view.overview import Overview, Worker
from modelcast.dashboard.view.pairs import ModelView, Pair
from modelcast.schemas.records import StageSpan
from modelcast.schemas.statuses import LOOKS, Status, count_serving, count_statuses, worst


@dataclass(frozen=True, slots=True)
class PairLine:
    """One model in one region."""

    model: str
    region: str
    status: Status
    since_us: int
    counted: bool
    left_out: str
    state: str
    served_version: int | None
    reported_version: int | None
    aspired_version: int | None
    aspired_generation: int
    staged_version: int | None
    refused_version: int | None
    pinned_version: int | None
    paused: bool
    pods_serving: int
    pods_expected: int
    behind_since_us: int
    reported_at_us: int
    heard_at_us: int
    bytes_moved: int
    bytes_saved: int
    bytes_total: int
    bytes_planned: int
    bytes_per_second: float
    way: str
    rollover: str
    spans_since_us: int
    spans: tuple[StageSpan, ...]
    error: str
    error_generation: int


@dataclass(frozen=True, slots=True)
class ModelLine:
    """One model in a list. ``serving`` of ``counted`` regions serve the aspired version."""

    model: str
    status: Status
    since_us: int
    latest_version: int | None
    consistent_version: int | None
    consistent_since_us: int
    last_consistent_version: int | None
    serving: int
    counted: int
    skew: int
    skew_since_us: int
    behind_since_us: int
    head_generation: int
    regions_omitted: int
    alarm: str
    reported_at_us: int
    statuses: dict[str, int]


@dataclass(frozen=True, slots=True)
class RegionLine:
    """One region in a list. ``serving`` of ``counted`` models serve the aspired version."""

    region: str
    status: Status
    heard_at_us: int
    workers: int
    serving: int
    counted: int
    behind_since_us: int
    disk_free_bytes: int | None
    statuses: dict[str, int]


@dataclass(frozen=True, slots=True)
class WorkerLine:
    """A worker of a region, by its last heartbeat.

    ``disk_full_in_seconds``: if its disk goes on filling as in the last hour; None: it does not, or is not known yet.
    ``clock_ahead_seconds``: its clock before this machine's, less what the heartbeat took.
    """

    worker: str
    heard_at_us: int
    started_at_us: int
    models_owned: int
    disk_free_bytes: int
    disk_full_in_seconds: float | None
    cache_used_bytes: int
    origin_bytes_per_second: float
    draining: bool
    clock_ahead_seconds: float
    software: dict[str, str]


def pair_line(pair: Pair) -> PairLine:
    """A pair as it is answered."""
    row = pair.row
    return PairLine(
        model=pair.model,
        region=row.region,
        status=pair.status,
        since_us=pair.since_us,
        counted=pair.counted,
        left_out=row.left_out,
        state=row.state.value if row.state else "",
        served_version=row.served_version,
        reported_version=row.reported_version,
        aspired_version=row.aspired_version,
        aspired_generation=row.aspired_generation,
        staged_version=row.staged_version,
        refused_version=row.refused_version,
        pinned_version=row.pinned_version,
        paused=row.paused,
        pods_serving=row.pods_serving,
        pods_expected=row.pods_expected,
        behind_since_us=row.behind_since_us,
        reported_at_us=row.reported_at_us,
        heard_at_us=row.heard_at_us,
        bytes_moved=row.bytes_moved,
        bytes_saved=row.bytes_saved,
        bytes_total=row.bytes_total,
        bytes_planned=row.bytes_planned,
        bytes_per_second=row.bytes_per_second,
        way=row.way,
        rollover=row.rollover,
        spans_since_us=row.spans_since_us,
        spans=row.spans,
        error=row.error,
        error_generation=row.error_generation,
    )


def model_line(view: ModelView) -> ModelLine:
    """A model as it is answered."""
    state, counted = view.state, [p for p in view.pairs.values() if p.counted]
    return ModelLine(
        model=state.model,
        status=view.status,
        since_us=_oldest(p.since_us for p in counted if p.status is view.status),
        latest_version=state.latest_version,
        consistent_version=view.consistent_version,
        consistent_since_us=state.consistent_since_us,
        last_consistent_version=state.last_consistent_version,
        serving=view.serving,
        counted=view.counted,
        skew=state.skew,
        skew_since_us=state.skew_since_us,
        behind_since_us=_oldest(p.row.behind_since_us for p in counted if p.row.behind_since_us),
        head_generation=state.head_generation,
        regions_omitted=state.regions_omitted,
        alarm=state.alarm,
        reported_at_us=view.appended_us,
        statuses=_by_name(view.statuses),
    )


def region_line(overview: Overview, region: str) -> RegionLine:
    """A region as it is answered."""
    pairs = [view.pairs[region] for view in overview.models.values() if region in view.pairs]
    counted, workers = [p for p in pairs if p.counted], overview.workers.get(region, ())
    statuses = count_statuses((p.row, p.status) for p in pairs)
    return RegionLine(
        region=region,
        status=worst(statuses),
        heard_at_us=max([*(w.heard_at_us for w in workers), *(p.row.heard_at_us for p in pairs)], default=0),
        workers=len(workers),
        serving=count_serving(statuses),
        counted=sum(statuses.values()),
        behind_since_us=_oldest(p.row.behind_since_us for p in counted if p.row.behind_since_us),
        disk_free_bytes=min((w.heartbeat.disk_free_bytes for w in workers), default=None),
        statuses=_by_name(statuses),
    )


def worker_line(worker: Worker, full_in_seconds: float | None) -> WorkerLine:
    """A worker as it is answered."""
    beat = worker.heartbeat
    return WorkerLine(
        worker=beat.worker,
        heard_at_us=worker.heard_at_us,
        started_at_us=beat.started_at_us,
        models_owned=beat.models_owned,
        disk_free_bytes=beat.disk_free_bytes,
        disk_full_in_seconds=full_in_seconds,
        cache_used_bytes=beat.cache_used_bytes,
        origin_bytes_per_second=beat.origin_bytes_per_second,
        draining=beat.draining,
        clock_ahead_seconds=(beat.sent_at_us - worker.heard_at_us) / 1_000_000,
        software=dict(beat.software),
    )


def _by_name(statuses: Mapping[Status, int]) -> dict[str, int]:
    return {status.value: statuses[status] for status in LOOKS if statuses.get(status)}


def _oldest(times: Iterable[int]) -> int:
    return min((at for at in times if at), default=0)
