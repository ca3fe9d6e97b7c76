"""The dashboard's metrics: its own, and how many pairs have each status."""

from collections import Counter
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from modelcast.dashboard.dashboard import Dashboard
from modelcast.dashboard.groups import GroupStatus, GroupsWatch
from modelcast.infra.telemetry.metrics import PROBE_SECONDS, installed_version
from modelcast.schemas.statuses import Status


class _Own(Collector):
    def __init__(self, board: Dashboard) -> None:
        self._board = board

    def collect(self) -> Iterator[Metric]:
        stream, board = self._board.stream, self._board
        yield GaugeMetricFamily("modelcast_dashboard_watchers", "Open event streams.", len(stream.watchers))
        yield CounterMetricFamily("modelcast_dashboard_deliveries", "Events sent to event streams.", stream.deliveries)
        yield CounterMetricFamily(
            "modelcast_dashboard_resyncs",
            "Event streams that fell behind and began anew.",
            stream.resyncs,
        )
        yield GaugeMetricFamily(
            "modelcast_dashboard_state_timestamp_seconds",
            "When the tracker last wrote a version-state, by this machine's clock; 0: never.",
            board.overview.newest_us() / 1_000_000,
        )
        yield GaugeMetricFamily(
            "modelcast_dashboard_kafka_up", "1 while version-state is read.", int(board.kafka_reads)
        )
        lines = GaugeMetricFamily(
            "modelcast_dashboard_problems",
            "Lines of what is wrong, by what they are about.",
            labels=("cause", "status"),
        )
        told: Counter[tuple[str, Status]] = Counter()
        told.update((problem.cause, problem.status) for problem in board.problems)
        for (cause, status), count in sorted(told.items()):
            lines.add_metric((cause, status.value), count)
        yield lines
        build = GaugeMetricFamily(
            "modelcast_build_info", "1; the label tells which version of Modelcast runs.", labels=("version",)
        )
        build.add_metric((installed_version(),), 1)
        yield build
        yield from self._pairs()

    def _pairs(self) -> Iterator[Metric]:
        """How many counted pairs have each status; statuses that no pair has are left out."""
        overview = self._board.overview
        models = GaugeMetricFamily(
            "modelcast_model_pairs", "Regions of the model, by status.", labels=("model", "status")
        )
        regions = GaugeMetricFamily(
            "modelcast_region_pairs", "Models in the region, by status.", labels=("region", "status")
        )
        found: Counter[tuple[str, Status]] = Counter()
        for name, view in overview.models.items():
            for status, count in view.statuses.items():
                models.add_metric((name, status.value), count)
            found.update((pair.row.region, pair.status) for pair in view.pairs.values() if pair.counted)
        for (region, status), count in sorted(found.items()):
            regions.add_metric((region, status.value), count)
        yield models
        yield regions


class _Groups(Collector):
    """How far the consumer groups have read; what is not known has no sample, never 0."""

    def __init__(self, watch: GroupsWatch) -> None:
        self._watch = watch

    def collect(self) -> Iterator[Metric]:
        seconds = GaugeMetricFamily(
            "modelcast_consumer_lag_seconds",
            "How long the first record that a consumer group has not read has waited, by Kafka's clock; 0: none waits.",
            labels=("group", "topic"),
        )
        records = GaugeMetricFamily(
            "modelcast_consumer_lag_records", "Records that a consumer group has not read.", labels=("group", "topic")
        )
        each = GaugeMetricFamily(
            "modelcast_consumer_status", "1 for the group's status, 0 for the others.", labels=("group", "status")
        )
        for group in self._watch.groups:
            topics = sorted({p.topic for p in group.partitions})
            for topic in topics:
                those = [p for p in group.partitions if p.topic == topic]
                records.add_metric((group.group, topic), sum(p.lag_records for p in those))
                if known := [p.lag_seconds for p in those if p.lag_seconds is not None]:
                    seconds.add_metric((group.group, topic), max(known))
            for status in GroupStatus:
                each.add_metric((group.group, status.value), int(group.status is status))
        yield from (seconds, records, each)
        yield GaugeMetricFamily(
            "modelcast_consumer_looked_timestamp_seconds",
            "When the consumer groups were last looked at, by this machine's clock; 0: never.",
            self._watch.looked_at_us / 1_000_000,
        )


def collected(board: Dashboard, groups: GroupsWatch) -> CollectorRegistry:
    """A registry of the board's metrics, those of the consumer groups and the process'."""
    registry = CollectorRegistry()
    registry.register(_Own(board))
    registry.register(_Groups(groups))
    registry.register(PROBE_SECONDS)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return registry
