"""What is counted of inference, by model and version; of each model only the versions that served last."""

from collections.abc import Set

from modelcast.infra.telemetry.inference_counts import VersionCounts
from modelcast.infra.telemetry.metrics import PodMetrics

VERSIONS_MAX = 3
"""Of one model: that which serves, that which it replaced, and one more, so that scrapes miss none that was short."""


class InferenceSeries:
    """The series of a pod's inference."""

    def __init__(self, metrics: PodMetrics) -> None:
        self._counts = metrics.inference
        self._series: dict[str, dict[int, VersionCounts]] = {}  # by model, then version: latest last
        self._unloaded: Set[tuple[str, int]] = frozenset()
        self._in_flight = 0
        metrics.in_flight.set_function(lambda: self._in_flight)

    def begun(self) -> None:
        """Count a request that begins."""
        self._in_flight += 1

    def ended(self, model: str, version: int, status: int, seconds: float) -> None:
        """A request that had begun was answered with ``status`` after ``seconds``."""
        self._in_flight -= 1
        versions = self._series.get(model)
        counts = versions.get(version) if versions else None
        if counts is None:
            counts = self._add(model, version)
        counts.count(status, seconds)

    def forget_unloaded(self, loaded: Set[tuple[str, int]]) -> None:
        """Drop the versions that had been unloaded when this was called last: what they did since has been scraped."""
        known = {(model, version) for model, versions in self._series.items() for version in versions}
        for model, version in known & self._unloaded - loaded:
            self._drop(model, version)
        self._unloaded = known - loaded

    def _add(self, model: str, version: int) -> VersionCounts:
        versions = self._series.setdefault(model, {})
        counts = versions[version] = self._counts.add(model, version)
        while len(versions) > VERSIONS_MAX:
            self._drop(model, next(iter(versions)))
        return counts

    def _drop(self, model: str, version: int) -> None:
        del self._series[model][version]
        self._counts.remove(model, version)
