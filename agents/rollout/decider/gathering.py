"""Reports of pods, gathered into evidence second by second.

A pod's report holds both versions, so whatever is lost or late, is lost or late of both. What comes after its second
was closed is counted in the region's next one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from modelcast.schemas.evidence.bandit import BanditBatch
from modelcast.schemas.evidence.counts import SHARES, Arm, Counts
from modelcast.schemas.evidence.gates import OUTCOMES_MAX, AnalysisPlan
from modelcast.schemas.evidence.means import Moments
from modelcast.schemas.evidence.outcomes import OutcomeTotals
from modelcast.schemas.evidence.predictions import Predictions, PredictionSums
from modelcast.schemas.evidence.replay import Evidence
from modelcast.schemas.evidence.verdict import EvidenceState, add_counts, empty, fold_counts
from modelcast.schemas.log.growing import GrowingSequence
from modelcast.schemas.log.outcome_assignment import OutcomeSide, side_of
from modelcast.schemas.log.rollouts import LoggedRollout
from modelcast.schemas.traffic.differences import arm_of, counted_between, is_newer, predictions_of
from modelcast.schemas.traffic.outcomes import ObservedOutcome
from modelcast.schemas.traffic.reports import PodCounts

CLOSED_AFTER_SECONDS = 2
"""A second of a region is closed once a report of the region speaks of a time so many seconds later."""

TOO_MANY_NAMES = "of a name too many"
_NO_REQUESTS, _NO_ANSWERS = Arm(), Predictions()


class _Counted(NamedTuple):
    """What was counted of one version."""

    arm: Arm = _NO_REQUESTS
    predictions: Predictions = _NO_ANSWERS

    def and_also(self, other: "_Counted") -> "_Counted":
        same = other.predictions is _NO_ANSWERS
        predictions = self.predictions if same else self.predictions.plus(other.predictions)
        return _Counted(self.arm.plus(other.arm), predictions)


_Pair = tuple[_Counted, _Counted]


@dataclass(frozen=True, slots=True)
class Gathered:
    """The evidence of one rollout, as far as it was gathered.

    Attributes:
        plan: the gates.
        candidate_digest: what counts as candidate; whatever else answers is the control.
        evidence: all closed seconds.
        rows: the same, one by one, for the replay.
        open: seconds that are not closed, by (region, second).
        closed: the last second closed, by region.
        taken_before: up to which second (region's clock) another controller has gathered, by region; -1: none.
        totals: requests of control and candidate, by region.
        outcomes: sums of what came of answers, by name.
        left_out: how many outcomes belong to neither version, by why.
        batches: of a bandit, those that are over.
        predictions: sums of what the outputs of both versions are like; only what a gate of the plan asks for.
    """

    plan: AnalysisPlan
    candidate_digest: str
    evidence: EvidenceState
    rows: Sequence[Counts] = field(default_factory=GrowingSequence)
    open: Mapping[tuple[str, int], _Pair] = field(default_factory=dict)
    closed: Mapping[str, int] = field(default_factory=dict)
    taken_before: Mapping[str, int] = field(default_factory=dict)
    totals: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    outcomes: Mapping[str, OutcomeTotals] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    predictions: PredictionSums = field(default_factory=PredictionSums)
    batches: tuple[BanditBatch, ...] = ()


def nothing_gathered(plan: AnalysisPlan, candidate_digest: str) -> Gathered:
    """No evidence."""
    return Gathered(plan, candidate_digest, empty(plan))


def gathered_before(blank: Gathered, evidence: Evidence) -> Gathered:
    """The evidence that another controller had gathered, to go on with. Its seconds are not counted again."""
    last: dict[str, int] = {}
    totals: dict[str, tuple[int, int]] = {}
    for row in evidence.counts:
        last[row.stratum] = max(row.second, last.get(row.stratum, -1))
        totals[row.stratum] = _sum(totals.get(row.stratum), row.control, row.candidate)
    return replace(
        blank,
        evidence=fold_counts(evidence.counts, blank.plan),
        rows=GrowingSequence(evidence.counts),
        closed=last,
        taken_before=last,
        totals=totals,
        outcomes={each.name: each for each in evidence.outcomes},
        predictions=evidence.predictions,
        batches=evidence.batches,
    )


def add_report(gathered: Gathered, before: PodCounts | None, report: PodCounts, share: int | None) -> Gathered:
    """The evidence with a pod's report.

    Args:
        gathered: so far.
        before: the pod's report before; None: this is its first.
        report: the report.
        share: of the candidate in this region, where it was the same for a while; else None.
    """
    if not is_newer(report, before):
        return gathered
    second = report.counted_at_us // 1_000_000
    if second <= gathered.taken_before.get(report.region, -1):
        return gathered
    control = candidate = _Counted()
    for counts in counted_between(before, report):
        predictions = predictions_of(counts) if gathered.plan.predictions else _NO_ANSWERS
        counted = _Counted(arm_of(counts), predictions)
        if counts.manifest_digest == gathered.candidate_digest:
            candidate = candidate.and_also(counted)
        else:
            control = control.and_also(counted)
    return _closing(_put(gathered, report.region, second, control, candidate), report.region, second, share)


def add_outcome(
    gathered: Gathered, rollout: LoggedRollout, outcome: ObservedOutcome, cut_off: frozenset[str]
) -> Gathered:
    """The evidence with what came of an answer; sums alone are kept, whatever the number of outcomes.

    Args:
        gathered: so far.
        rollout: whose evidence it is.
        outcome: of the same model.
        cut_off: regions that have taken the candidate out of their traffic.
    """
    side, names = side_of(rollout, outcome, cut_off), {gate.name for gate in gathered.plan.outcomes}
    whole = len(gathered.outcomes.keys() | names) >= OUTCOMES_MAX
    why = TOO_MANY_NAMES if whole and outcome.name not in {*gathered.outcomes, *names} else str(side)
    if why not in {OutcomeSide.CONTROL, OutcomeSide.CANDIDATE}:
        return replace(gathered, left_out={**gathered.left_out, why: gathered.left_out.get(why, 0) + 1})
    one, none = Moments.of(outcome.value), Moments()
    control, candidate = (one, none) if side is OutcomeSide.CONTROL else (none, one)
    before = gathered.outcomes.get(outcome.name, OutcomeTotals(outcome.name))
    after = before.plus(OutcomeTotals(outcome.name, control, candidate))
    return replace(gathered, outcomes={**gathered.outcomes, outcome.name: after})


def outcomes_of(gathered: Gathered) -> tuple[OutcomeTotals, ...]:
    """The sums of all outcomes, by name."""
    return tuple(gathered.outcomes[name] for name in sorted(gathered.outcomes))


def _put(gathered: Gathered, region: str, second: int, control: _Counted, candidate: _Counted) -> Gathered:
    if control == candidate == _Counted():
        return gathered
    key = (region, max(second, gathered.closed.get(region, -1) + 1))
    old = gathered.open.get(key, (_Counted(), _Counted()))
    return replace(gathered, open={**gathered.open, key: (old[0].and_also(control), old[1].and_also(candidate))})


def _closing(gathered: Gathered, region: str, second: int, share: int | None) -> Gathered:
    due = sorted(key for key in gathered.open if key[0] == region and key[1] <= second - CLOSED_AFTER_SECONDS)
    for key in due:
        control, candidate = gathered.open[key]
        known = share if share is not None and 0 < share < SHARES else None
        row = Counts(key[1], region, control.arm, candidate.arm, known)
        gathered = replace(
            gathered,
            evidence=add_counts(gathered.evidence, row, gathered.plan),
            rows=GrowingSequence.of(gathered.rows).plus(row),
            predictions=_with(gathered, control.predictions, candidate.predictions),
            open={each: pair for each, pair in gathered.open.items() if each != key},
            closed={**gathered.closed, region: key[1]},
            totals={**gathered.totals, region: _sum(gathered.totals.get(region), control.arm, candidate.arm)},
        )
    return gathered


def _with(gathered: Gathered, control: Predictions, candidate: Predictions) -> PredictionSums:
    sums = gathered.predictions
    return sums.plus(control, candidate) if gathered.plan.predictions else sums


def _sum(before: tuple[int, int] | None, control: Arm, candidate: Arm) -> tuple[int, int]:
    old = before or (0, 0)
    return old[0] + control.requests, old[1] + candidate.requests
