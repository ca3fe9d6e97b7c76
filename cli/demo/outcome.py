"""What the demo came to: counts, seconds, bytes, and what was broken, late or not reached."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field

from modelcast.cli.demo.canary import CanaryEnd
from modelcast.cli.demo.seen import Crossing, Seen
from modelcast.cli.demo.traffic import Tally
from modelcast.schemas.errors import ExitCode


@dataclass(slots=True)
class Outcome:
    """What came of it, for people and programs.

    ``broken`` are promises that did not hold, ``late`` is what took longer than usual, ``unfinished`` what the demo
    stopped waiting for; in words.

    ``seconds_to_serving`` and ``transfers`` go by what was asked (``1``, ``rollback to 1``, ``digits-wide/2``: the
    first model is not named), then by region; so does ``bytes_moved``, for the first model's largest version.
    """

    seconds_to_serving: dict[str, dict[str, float]] = field(default_factory=dict)
    requests_sent: int = 0
    requests_failed: int = 0
    requests_unanswered: int = 0
    wrong_version_answers: int = 0
    refused: dict[int, dict[str, str]] = field(default_factory=dict)
    latency_seconds: dict[str, float] = field(default_factory=dict)
    requests_per_second_per_pod_min: float = 0.0
    accuracy: dict[str, float] = field(default_factory=dict)
    bytes_moved: dict[str, int] = field(default_factory=dict)
    transfers: dict[str, dict[str, Crossing]] = field(default_factory=dict)
    ready_seconds: dict[str, float] = field(default_factory=dict)
    canary: CanaryEnd | None = None
    total_seconds: float = 0.0
    broken: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> ExitCode:
        """Lateness alone is no failure; what was never reached could not be judged."""
        if self.broken:
            return ExitCode.FAILED
        return ExitCode.NOT_CONVERGED if self.unfinished else ExitCode.DONE

    def take_tallies(self, tallies: Mapping[str, Tally], asked_first: str, seconds: float) -> None:
        """What became of all predictions; how often pods were asked counts for the model ``asked_first``."""
        every = list(tallies.values())
        self.requests_sent = sum(t.sent for t in every)
        self.requests_failed = sum(t.failed + t.lost for t in every)
        self.requests_unanswered = sum(t.unanswered for t in every)
        self.wrong_version_answers = sum(t.wrong for t in every)
        first = tallies[asked_first]
        if len(first.latencies_seconds) > 1:
            cuts = statistics.quantiles(first.latencies_seconds, n=1000)
            self.latency_seconds = {"p50": cuts[499], "p99": cuts[989], "max": max(first.latencies_seconds)}
        if seconds and first.by_pod:
            self.requests_per_second_per_pod_min = min(first.by_pod.values()) / seconds

    def take_seen(self, seen: Seen, prefix: str = "") -> None:
        """What the tracker reported."""
        self.seconds_to_serving |= {prefix + label: row for label, row in seen.seconds_to_serving.items()}
        self.transfers |= {prefix + label: row for label, row in seen.crossings.items()}
        if not prefix:
            self.refused = seen.refused
            for row in seen.crossings.values():
                for region, crossing in row.items():
                    self.bytes_moved[region] = max(self.bytes_moved.get(region, 0), crossing.bytes_moved)
