"""What is counted of inference, by model and version; of each model only the versions that served last."""

from collections.abc import Set
from dataclasses import dataclass, field

import prometheus_client

from modelcast.infra.telemetry.metrics import PodMetrics

VERSIONS_MAX = 3
"""Of one model: that which serves, that which it replaced, and one more, so that scrapes miss none that was short."""


@dataclass(slots=True)
class _Series:
    latency: prometheus_client.Histogram
    answers: dict[int, prometheus_client.Counter] = field(default_factory=dict)  # by HTTP status


class InferenceSeries:
    """The series of a pod's inference. Children are kept: to look one up costs as much as to count."""

    def __init__(self, metrics: PodMetrics) -> None:
        self._metrics = metrics
        self._series: dict[str, dict[int, _Series]] = {}  # by model, then version; the latest used first stand last
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
        series = versions.get(version) if versions else None
        if series is None:
            series = self._add(model, version)
        series.latency.observe(seconds)
        answers = series.answers.get(status)
        if answers is None:
            answers = series.answers[status] = self._metrics.predictions.labels(model, str(version), str(status))
        answers.inc()

    def forget_unloaded(self, loaded: Set[tuple[str, int]]) -> None:
        """Drop the versions that had been unloaded when this was called last: what they did since has been scraped."""
        known = {(model, version) for model, versions in self._series.items() for version in versions}
        for model, version in known & self._unloaded - loaded:
            self._drop(model, version)
        self._unloaded = known - loaded

    def _add(self, model: str, version: int) -> _Series:
        versions = self._series.setdefault(model, {})
        series = versions[version] = _Series(self._metrics.latency.labels(model, str(version)))
        while len(versions) > VERSIONS_MAX:
            self._drop(model, next(iter(versions)))
        return series

    def _drop(self, model: str, version: int) -> None:
        for status in self._series[model].pop(version).answers:
            self._metrics.predictions.remove(model, str(version), str(status))
        self._metrics.latency.remove(model, str(version))
