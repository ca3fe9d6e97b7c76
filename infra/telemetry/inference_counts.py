"""What a pod counts of each answer to inference, at the cost of a few list and dict accesses.

A histogram and a counter of ``prometheus_client`` cost about a twentieth of a request to a quick model. All of this
runs on the pod's event loop, scrapes too, so there is no lock.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector


class VersionCounts:
    """The answers of one version of a model: how many by HTTP status, and how long they took."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.by_status: dict[int, int] = {}
        self.seconds = 0.0
        self._bounds = bounds
        self._by_bound = [0] * (len(bounds) + 1)  # not cumulative; the last is beyond all bounds

    def count(self, status: int, seconds: float) -> None:
        """Count an answer."""
        self._by_bound[bisect_left(self._bounds, seconds)] += 1
        self.seconds += seconds
        self.by_status[status] = self.by_status.get(status, 0) + 1

    @property
    def buckets(self) -> list[tuple[str, float]]:
        """Upper bound in seconds, as Prometheus writes it, and how many took at most so long."""
        names = (*map(str, self._bounds), "+Inf")
        return list(zip(names, map(float, accumulate(self._by_bound)), strict=True))


class InferenceCounts(Collector):
    """The counts of all versions, as two metrics by model and version.

    Args:
        answers: name and meaning of the counter of answers, by HTTP status (``code``), too.
        latency: those of the histogram of their seconds.
        bounds: of its buckets, in seconds, ascending.
    """

    def __init__(self, answers: tuple[str, str], latency: tuple[str, str], bounds: Sequence[float]) -> None:
        self._answers, self._latency, self._bounds = answers, latency, bounds
        self._versions: dict[tuple[str, int], VersionCounts] = {}

    def add(self, model: str, version: int) -> VersionCounts:
        """Begin to count a version."""
        counts = self._versions[model, version] = VersionCounts(self._bounds)
        return counts

    def remove(self, model: str, version: int) -> None:
        """Show a version no longer."""
        del self._versions[model, version]

    def describe(self) -> Iterable[Metric]:
        """See ``Collector``."""
        return self._families()

    def collect(self) -> Iterable[Metric]:
        """See ``Collector``."""
        answers, latency = self._families()
        for (model, version), counts in self._versions.items():
            for status, count in counts.by_status.items():
                answers.add_metric([model, str(version), str(status)], count)
            latency.add_metric([model, str(version)], counts.buckets, counts.seconds)
        return answers, latency

    def _families(self) -> tuple[CounterMetricFamily, HistogramMetricFamily]:
        return (
            CounterMetricFamily(*self._answers, labels=["model", "version", "code"]),
            HistogramMetricFamily(*self._latency, labels=["model", "version"]),
        )
