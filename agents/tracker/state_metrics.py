"""The tracker's findings as Prometheus metrics, made at the scrape from what is known then."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from prometheus_client import Metric
from prometheus_client.registry import Collector

from modelcast.infra.telemetry import metrics
from modelcast.infra.telemetry.metrics import Shown
from modelcast.schemas.records import VersionState
from modelcast.schemas.statuses import (
    MAY_BE_LATE,
    MAY_STALL,
    Limits,
    Status,
    count_serving,
    count_statuses,
    counts,
    status_of,
)

Labels = dict[str, str]
Sample = tuple[Labels, float]
SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True)
class _Model:
    """What is shown of one model, with its labels."""

    labels: Labels
    state: VersionState
    values: tuple[tuple[Shown, float], ...]
    behind_us: Mapping[str, int]  # region -> since when, of those that are behind
    counted: tuple[str, ...]  # regions that count
    late_us: Mapping[str, int]  # as behind_us, of those alone that count and may be called late
    stalls_us: tuple[int, ...]  # when each pair that is behind and counts is STALLED, if nothing moves until then
    pairs: tuple[Labels, ...]  # of each region's row; none where only sums are shown
    held: tuple[Sample, ...]  # since when, of the regions that are pinned or paused
    artifact_bytes: int


class StateMetrics(Collector):
    """Gauges by model, by region and, if asked for, by pair of both.

    Written on the event loop, read by the scrape's thread.

    Args:
        pairs: show every pair: three series each.
        late_seconds: behind for longer is late.
        now: seconds since 1970, at the scrape.
    """

    def __init__(
        self, *, pairs: bool = False, late_seconds: float = 60.0, now: Callable[[], float] = time.time
    ) -> None:
        self._pairs, self._late_us, self._now = pairs, round(late_seconds * SECOND_US), now
        self._limits = Limits(late_seconds=late_seconds)
        self._models: dict[str, _Model] = {}
        self._written_us: dict[str, int] = {}  # by model: when the newest state was made that Kafka has
        self._regions: dict[str, tuple[Labels, bool, float]] = {}  # name -> labels, silent, when heard
        self._unread_us: Mapping[int, int] = {}

    def show(
        self, state: VersionState, held_us: Mapping[str, int] = MappingProxyType({}), artifact_bytes: int = 0
    ) -> None:
        """Show one model's state.

        Args:
            state: what is reported.
            held_us: region to since when it is pinned or paused, UTC microseconds.
            artifact_bytes: size of the latest version; 0: not known.
        """
        known = self._models.get(state.model)
        alarm, at_us = bool(state.alarm), state.updated_at_us
        pairs_of = [(row, status_of(row, at_us, self._limits, alarm=alarm).status) for row in state.regions]
        statuses = count_statuses(pairs_of)
        values = (
            (metrics.CONSISTENT_VERSION, state.consistent_version or 0),
            (metrics.LATEST_VERSION, state.latest_version or 0),
            (metrics.SKEW, state.skew),
            (metrics.MODEL_BEHIND_SINCE, state.behind_since_us / SECOND_US),
            (metrics.MODEL_REGIONS, sum(statuses.values())),
            (metrics.MODEL_REGIONS_SERVING, count_serving(statuses)),
            (metrics.MODEL_REGIONS_REFUSED, statuses[Status.REFUSED]),
            (metrics.MODEL_PODS_SERVING, sum(row.pods_serving for row in state.regions)),
            (metrics.MODEL_PODS_EXPECTED, sum(row.pods_expected for row in state.regions)),
        )
        pairs: tuple[Labels, ...] = ()
        if self._pairs:
            old = dict(zip((r.region for r in known.state.regions), known.pairs, strict=True)) if known else {}
            pairs = tuple(old.get(r.region) or {"model": state.model, "region": r.region} for r in state.regions)
        behind = {row.region: row.behind_since_us for row in state.regions if row.behind_since_us}
        late = {
            row.region: row.behind_since_us
            for row, status in pairs_of
            if row.behind_since_us and status in MAY_BE_LATE and counts(row)
        }
        patience_us = round(self._limits.stalled_seconds * SECOND_US)
        stalls_us = tuple(
            row.moved_at_us + patience_us
            for row, status in pairs_of
            if row.moved_at_us and status in MAY_STALL and counts(row)
        )
        if known and known.state.behind_since_us and not state.behind_since_us:
            took_us = state.updated_at_us - known.state.behind_since_us
            metrics.CONVERGENCE_SECONDS.observe(max(0, took_us) / SECOND_US)
        labels = known.labels if known else {"model": state.model}
        metrics.ALARM.labels(state.model).set(1 if state.alarm else 0)
        names = tuple(row.region for row in state.regions if counts(row))
        held = tuple(({"model": state.model, "region": r}, at / SECOND_US) for r, at in sorted(held_us.items()))
        self._models[state.model] = _Model(
            labels, state, values, behind, names, late, stalls_us, pairs, held, artifact_bytes
        )

    def written(self, model: str, at_us: int) -> None:
        """Kafka has the model's state of ``at_us``."""
        self._written_us[model] = max(at_us, self._written_us.get(model, 0))

    def show_regions(self, expected: Iterable[str], silent: frozenset[str], heard_us: Mapping[str, int]) -> None:
        """Show which regions are silent, and when each was last heard."""
        self._regions = {
            name: ({"region": name}, name in silent, heard_us.get(name, 0) / SECOND_US) for name in expected
        }

    def show_unread(self, since_us: Mapping[int, int]) -> None:
        """Show since when acknowledgements wait to be read, by partition; 0: none does."""
        self._unread_us = dict(since_us)

    def keep(self, models: Iterable[str]) -> None:
        """Drop all models but these."""
        kept = set(models)
        for name in self._models.keys() - kept:
            metrics.ALARM.remove(name)
        self._models = {name: model for name, model in self._models.items() if name in kept}
        self._written_us = {name: at for name, at in self._written_us.items() if name in kept}

    def collect(self) -> Iterator[Metric]:
        """See ``Collector``."""
        models, regions = list(self._models.values()), dict(self._regions)
        by_model: dict[Shown, list[Sample]] = {}
        now_us = round(self._now() * SECOND_US)
        late_since_us = now_us - self._late_us
        late = [[name for name, at in model.late_us.items() if at < late_since_us] for model in models]
        written_us = dict(self._written_us)
        for model, names in zip(models, late, strict=True):
            by_model.setdefault(metrics.MODEL_REGIONS_LATE, []).append((model.labels, len(names)))
            stalled = sum(at_us < now_us for at_us in model.stalls_us)
            by_model.setdefault(metrics.MODEL_REGIONS_STALLED, []).append((model.labels, stalled))
            at = written_us.get(model.state.model, 0) / SECOND_US
            by_model.setdefault(metrics.STATE_TIMESTAMP, []).append((model.labels, at))
            for shown, value in model.values:
                by_model.setdefault(shown, []).append((model.labels, value))
        for shown, samples in by_model.items():
            yield _metric(shown, samples)
        yield from _of_regions(models, regions, late)
        yield from _of_pairs(models)
        yield _metric(metrics.HELD_SINCE, [sample for model in models for sample in model.held])
        yield _metric(metrics.LARGEST_ARTIFACT, [({}, max((model.artifact_bytes for model in models), default=0))])
        unread = [({"partition": str(number)}, at / SECOND_US) for number, at in sorted(self._unread_us.items())]
        yield _metric(metrics.UNREAD_SINCE, unread)


def _of_regions(
    models: list[_Model], regions: Mapping[str, tuple[Labels, bool, float]], late: Iterable[Iterable[str]]
) -> Iterator[Metric]:
    oldest: dict[str, int] = {}
    count: dict[str, int] = {}
    counted, lagging = Counter[str](), Counter[str]()
    for names in late:
        lagging.update(names)
    for model in models:
        counted.update(model.counted)
        for region, since_us in model.behind_us.items():
            oldest[region] = min(since_us, oldest.get(region, since_us))
            count[region] = count.get(region, 0) + 1
    for shown, values in (
        (metrics.REGION_SILENT, {name: float(silent) for name, (_, silent, _) in regions.items()}),
        (metrics.REGION_HEARD_TIMESTAMP, {name: heard for name, (_, _, heard) in regions.items() if heard}),
        (metrics.REGION_BEHIND_SINCE, {name: oldest.get(name, 0) / SECOND_US for name in regions}),
        (metrics.REGION_MODELS, {name: counted[name] for name in regions}),
        (metrics.REGION_MODELS_LATE, {name: lagging[name] for name in regions}),
        (metrics.REGION_MODELS_BEHIND, {name: count.get(name, 0) for name in regions}),
    ):
        yield _metric(shown, [(regions[name][0], value) for name, value in values.items()])


def _of_pairs(models: list[_Model]) -> Iterator[Metric]:
    rows = [pair for model in models for pair in zip(model.pairs, model.state.regions, strict=False)]
    if rows:
        yield _metric(metrics.BEHIND_SINCE, [(labels, row.behind_since_us / SECOND_US) for labels, row in rows])
        yield _metric(metrics.PODS_SERVING, [(labels, row.pods_serving) for labels, row in rows])
        yield _metric(metrics.PODS_EXPECTED, [(labels, row.pods_expected) for labels, row in rows])


def _metric(shown: Shown, samples: Iterable[Sample]) -> Metric:
    metric = Metric(shown.name, shown.documentation, "gauge")
    for labels, value in samples:
        metric.add_sample(shown.name, labels, value)
    return metric
