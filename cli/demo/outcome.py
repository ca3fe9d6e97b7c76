"""What the demo came to, and whether every promise held."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field

from modelcast.cli.demo.traffic import Tally
from modelcast.cli.demo.watch import Crossing, Watch

DELTA_SHARE_MAX = 0.1
"""What the second version of the large model may move of its size."""


@dataclass(slots=True)
class Outcome:
    """``broken`` are the promises that did not hold, in words.

    ``seconds_to_serving`` and ``transfers`` go by what was asked (``1``, ``rollback to 1``, ``digits-wide/2``: the
    first model is not named), then by region; so does ``bytes_moved``, for the first model's largest version.
    """

    seconds_to_serving: dict[str, dict[str, float]] = field(default_factory=dict)
    requests_sent: int = 0
    requests_failed: int = 0
    wrong_version_answers: int = 0
    refused: dict[int, dict[str, str]] = field(default_factory=dict)
    latency_seconds: dict[str, float] = field(default_factory=dict)
    requests_per_second_per_pod_min: float = 0.0
    accuracy: dict[str, float] = field(default_factory=dict)
    bytes_moved: dict[str, int] = field(default_factory=dict)
    transfers: dict[str, dict[str, Crossing]] = field(default_factory=dict)
    ready_seconds: dict[str, float] = field(default_factory=dict)
    total_seconds: float = 0.0
    broken: list[str] = field(default_factory=list)

    def take_tallies(self, tallies: Mapping[str, Tally], asked_first: str, seconds: float) -> None:
        """What became of all predictions; how often pods were asked counts for the model ``asked_first``."""
        every = list(tallies.values())
        self.requests_sent = sum(t.sent for t in every)
        self.requests_failed = sum(t.failed for t in every)
        self.wrong_version_answers = sum(t.wrong for t in every)
        first = tallies[asked_first]
        if len(first.latencies_seconds) > 1:
            cuts = statistics.quantiles(first.latencies_seconds, n=1000)
            self.latency_seconds = {"p50": cuts[499], "p99": cuts[989], "max": max(first.latencies_seconds)}
        if seconds and first.by_pod:
            self.requests_per_second_per_pod_min = min(first.by_pod.values()) / seconds

    def take_watch(self, watch: Watch, prefix: str = "") -> None:
        """What the tracker said."""
        self.seconds_to_serving |= {prefix + label: row for label, row in watch.seconds_to_serving.items()}
        self.transfers |= {prefix + label: row for label, row in watch.crossings.items()}
        if not prefix:
            self.refused = watch.refused
            for row in watch.crossings.values():
                for region, crossing in row.items():
                    self.bytes_moved[region] = max(self.bytes_moved.get(region, 0), crossing.bytes_moved)


def is_small(crossings: Mapping[str, Crossing]) -> bool:
    """Whether each region got by with little of what it now holds."""
    return all(0 < c.bytes_moved < DELTA_SHARE_MAX * c.bytes_total for c in crossings.values())
