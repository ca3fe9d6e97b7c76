"""What happened between two reports of cumulative counts, as counts of one second and region for the evidence.

A report that was lost is made up for by the next one, and one that comes twice, late or from a process that is gone
adds nothing. A pod that is met for the first time only gives a place to count from: what it counted before was not
counted beside its candidate, second by second. What a process counted after its last report dies with it.
"""

from collections.abc import Iterable

from modelcast.schemas.evidence.counts import Arm
from modelcast.schemas.evidence.predictions import Predictions
from modelcast.schemas.traffic.reports import LATENCY_BOUNDS_US, LATENCY_BUCKETS, PodCounts, VersionCounts

CUMULATIVE = (
    "requests", "failed", "timed_out", "refused", "rejected", "slow", "slow_harmful", "slow_harmless", "bad_answers",
    "shadow_agree", "shadow_differ", "looked", "empty", "repeated",
)  # fmt: skip
"""The counters of ``VersionCounts`` but its latency buckets and score bins."""


def is_newer(after: PodCounts, before: PodCounts | None) -> bool:
    """Whether a report comes after another one of the same pod."""
    if before is None:
        return True
    if after.incarnation == before.incarnation:
        return after.sequence > before.sequence
    return after.started_at_us > before.started_at_us


def counted_between(before: PodCounts | None, after: PodCounts) -> tuple[VersionCounts, ...]:
    """What the pod counted since ``before``, by version; nothing if ``after`` is not newer, or is the first one.

    Of a new process of the same pod, everything that it counted. Where a counter fell, which none should, nothing is
    taken of that version.
    """
    if before is None or not is_newer(after, before):
        return ()
    known = {} if after.incarnation != before.incarnation else {v.manifest_digest: v for v in before.versions}
    found = [_since(known.get(version.manifest_digest), version) for version in after.versions]
    return tuple(each for each in found if each is not None)


def arm_of(counts: VersionCounts) -> Arm:
    """Counts as the evidence takes them. An answer that holds NaN or infinity is an error."""
    errors = min(counts.requests, counts.errors + counts.bad_answers)
    slow = min(counts.slow, counts.requests)
    return Arm(counts.requests, errors, slow, min(counts.slow_harmful, slow), min(counts.slow_harmless, slow))


def predictions_of(counts: VersionCounts) -> Predictions:
    """What the outputs of its answers were like, as the evidence takes it."""
    copies = counts.shadow_agree + counts.shadow_differ
    looked = max(counts.looked, counts.empty, counts.repeated)
    return Predictions(looked, counts.empty, counts.repeated, copies, counts.shadow_differ, counts.scores)


def quantile_us(latencies: Iterable[tuple[int, ...]], part: float) -> int:
    """A quantile of these latency buckets together: its bucket's upper bound, microseconds; 0: nothing was counted."""
    sums = [0] * LATENCY_BUCKETS
    for latency in latencies:
        for index, count in enumerate(latency):
            sums[index] += count
    needed, seen = part * sum(sums), 0
    for bound, count in zip((*LATENCY_BOUNDS_US, 2 * LATENCY_BOUNDS_US[-1]), sums, strict=True):
        seen += count
        if count and seen >= needed:
            return bound
    return 0


def _since(before: VersionCounts | None, after: VersionCounts) -> VersionCounts | None:
    if before is None:
        return after
    values = {name: getattr(after, name) - getattr(before, name) for name in CUMULATIVE}
    latency, scores = _risen(before.latency, after.latency), _risen(before.scores, after.scores)
    if min(values.values()) < 0 or latency is None or scores is None:
        return None
    return VersionCounts(after.version, after.manifest_digest, after.ready, latency=latency, scores=scores, **values)


def _risen(before: tuple[int, ...], after: tuple[int, ...]) -> tuple[int, ...] | None:
    """By how much each has grown; None: one fell."""
    if before == after:
        return ()
    older = before + (0,) * (len(after) - len(before))
    risen = tuple(a - b for a, b in zip(after, older, strict=False))
    return None if len(before) > len(after) or min(risen, default=0) < 0 else risen
