"""What is counted of one version's answers, from the process's start on."""

from dataclasses import dataclass, field

from modelcast.consumers.pod.slot import Serving
from modelcast.consumers.pod.worker.frames import EMPTY, NOT_FINITE, REPEATED, SCORE_SHIFT
from modelcast.schemas.evidence.gates import SCORE_BINS
from modelcast.schemas.traffic.reports import LATENCY_BUCKETS, VersionCounts, latency_bucket
from modelcast.schemas.traffic.table import SlowThresholds


@dataclass(slots=True)
class VersionTally:
    """Counts of one version. Client errors are no requests of it: they say nothing about the model."""

    version: int
    manifest_digest: str
    requests: int = 0
    failed: int = 0
    timed_out: int = 0
    rejected: int = 0
    slow: int = 0
    slow_harmful: int = 0
    slow_harmless: int = 0
    bad_answers: int = 0
    looked: int = 0
    empty: int = 0
    repeated: int = 0
    keyless: int = 0  # of the requests, those without a key
    shadow_agree: int = 0
    shadow_differ: int = 0
    shadow_dropped: int = 0  # copies that were never sent
    slowest_seconds: float = 0.0
    latency: list[int] = field(default_factory=lambda: [0] * LATENCY_BUCKETS)
    scores: list[int] = field(default_factory=lambda: [0] * SCORE_BINS)

    def ended(self, status: int, seconds: float, seen: int, *, keyed: bool, slow: SlowThresholds) -> None:
        """Count a request that this version answered, or failed to.

        Args:
            status: of the answer, by HTTP; 504: none in time.
            seconds: it took.
            seen: what its outputs are like, see ``frames``.
            keyed: whether the request had a key.
            slow: from when on it counts as slow.
        """
        if 400 <= status < 500:
            self.rejected += 1
            return
        self.requests += 1
        if not keyed:
            self.keyless += 1
        if status >= 500:
            if status == 504:
                self.timed_out += 1
            else:
                self.failed += 1
        microseconds = seconds * 1e6
        self.latency[latency_bucket(microseconds)] += 1
        self.slowest_seconds = max(self.slowest_seconds, seconds)
        if slow.slow_us and microseconds > slow.slow_us:
            self.slow += 1
            self.slow_harmful += microseconds > slow.slow_harmful_us
            self.slow_harmless += microseconds > slow.slow_harmless_us
        if status == 200:
            self.bad_answers += bool(seen & NOT_FINITE)
            self.looked_at(seen)

    def looked_at(self, seen: int) -> None:
        """Count what the outputs of an answer are like, also of a copy that nobody waited for."""
        self.looked += 1
        if not seen:
            return
        self.empty += bool(seen & EMPTY)
        self.repeated += bool(seen & REPEATED)
        if score := seen >> SCORE_SHIFT:
            self.scores[score - 1] += 1

    def of(self, serving: Serving) -> bool:
        """Whether it is that version's."""
        return self.manifest_digest == serving.order.manifest_digest and self.version == serving.order.version

    def counts(self, *, ready: bool) -> VersionCounts:
        """As they are reported. ``ready``: the version is loaded here."""
        return VersionCounts(
            version=self.version,
            manifest_digest=self.manifest_digest,
            ready=ready,
            requests=self.requests,
            failed=self.failed,
            timed_out=self.timed_out,
            rejected=self.rejected,
            slow=self.slow,
            slow_harmful=self.slow_harmful,
            slow_harmless=self.slow_harmless,
            bad_answers=self.bad_answers,
            shadow_agree=self.shadow_agree,
            shadow_differ=self.shadow_differ,
            looked=self.looked,
            empty=self.empty,
            repeated=self.repeated,
            latency=_used(self.latency),
            scores=_used(self.scores),
        )


def _used(counts: list[int]) -> tuple[int, ...]:
    """Without the zeros at the end."""
    return tuple(counts[: max((n + 1 for n, count in enumerate(counts) if count), default=0)])
