"""The dashboard's metrics: its own, and how many pairs have each status word."""

from collections import Counter
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from modelcast.dashboard.board import Board
from modelcast.schemas.words import Word


class _Own(Collector):
    def __init__(self, board: Board) -> None:
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
            board.fleet.newest_us() / 1_000_000,
        )
        yield GaugeMetricFamily(
            "modelcast_dashboard_kafka_up", "1 while version-state is read.", int(board.kafka_reads)
        )
        yield from self._pairs()

    def _pairs(self) -> Iterator[Metric]:
        """How many counted pairs have each word; words that no pair has are left out."""
        fleet = self._board.fleet
        models = GaugeMetricFamily(
            "modelcast_model_pairs", "Regions of the model, by status word.", labels=("model", "word")
        )
        regions = GaugeMetricFamily(
            "modelcast_region_pairs", "Models in the region, by status word.", labels=("region", "word")
        )
        found: Counter[tuple[str, Word]] = Counter()
        for name, view in fleet.models.items():
            for word, count in view.words.items():
                models.add_metric((name, word.value), count)
            found.update((pair.row.region, pair.word) for pair in view.pairs.values() if pair.counted)
        for (region, word), count in sorted(found.items()):
            regions.add_metric((region, word.value), count)
        yield models
        yield regions


def collected(board: Board) -> CollectorRegistry:
    """A registry of the board's metrics and the process'."""
    registry = CollectorRegistry()
    registry.register(_Own(board))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return registry
