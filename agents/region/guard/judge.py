"""The guard's evidence: what a region's own pods counted of control and candidate, report by report. Pure.

It is the controller's test on less data, and has the first word: who is near sees it first. False alarms are its own:
it spends a part of the plan's alpha beside the controller, half, shared by the plan's gates and one more test.

That further test finds what the gates are slow to say of a large share: a candidate that fails altogether. It bets
against "at most a tenth of its answers fail", and speaks only while the control's own do not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from modelcast.schemas.evidence.counts import Arm, Counts
from modelcast.schemas.evidence.gates import AnalysisPlan, PredictionMeasure
from modelcast.schemas.evidence.kinds import Kind
from modelcast.schemas.evidence.portable_math import log, log_mean_exp
from modelcast.schemas.evidence.predictions import Predictions, PredictionSums
from modelcast.schemas.evidence.ratio import WORSE, rate_units
from modelcast.schemas.evidence.verdict import EvidenceState, GateVerdict, add_counts, empty, verdict
from modelcast.schemas.traffic.differences import arm_of, counted_between, is_newer, predictions_of
from modelcast.schemas.traffic.reports import PodCounts

FAILING_RATE = 0.1
"""A candidate of which at most so many answers fail does not fail altogether."""
CONTROL_FAILING_RATE = 0.05
"""While more of the control's answers fail, something else may be wrong."""


@dataclass(frozen=True, slots=True)
class GuardEvidence:
    """What was counted of one candidate since this worker looks after it.

    Attributes:
        plan: the gates.
        control: manifest digest of what serves.
        candidate: the candidate's.
        state: the evidence.
        last: each pod's newest report, from which on its next one counts.
        predictions: what outputs are like, where a gate of the plan asks for it.
    """

    plan: AnalysisPlan
    control: str
    candidate: str
    state: EvidenceState
    last: Mapping[str, PodCounts] = field(default_factory=dict)
    predictions: PredictionSums = field(default_factory=PredictionSums)

    @classmethod
    def of(cls, plan: AnalysisPlan, control: str, candidate: str) -> "GuardEvidence":
        """None yet."""
        return cls(plan, control, candidate, empty(plan))

    def counted(self, counts: PodCounts) -> "GuardEvidence":
        """The evidence with a pod's report; one that is lost, late or doubled does no harm."""
        before = self.last.get(counts.pod)
        if not is_newer(counts, before):
            return self
        arms = {self.control: Arm(), self.candidate: Arm()}
        looks = {self.control: Predictions(), self.candidate: Predictions()}
        for each in counted_between(before, counts):
            digest = each.manifest_digest
            if digest in arms:
                arms[digest] = arms[digest].plus(arm_of(each))
                looks[digest] = looks[digest].plus(predictions_of(each))
        sums = self.predictions
        if self.plan.predictions:
            sums = sums.plus(looks[self.control], looks[self.candidate])
        last = {**self.last, counts.pod: counts}
        control, candidate = arms[self.control], arms[self.candidate]
        if not control.requests and not candidate.requests:
            return replace(self, last=last, predictions=sums)
        second = Counts(counts.counted_at_us // 1_000_000, counts.pod, control, candidate)
        return replace(self, state=add_counts(self.state, second, self.plan), last=last, predictions=sums)

    def only(self, pods: frozenset[str]) -> "GuardEvidence":
        """The evidence without the last reports of pods that have left; what they counted stays."""
        if self.last.keys() <= pods:
            return self
        return replace(self, last={pod: counts for pod, counts in self.last.items() if pod in pods})

    @property
    def harm(self) -> str:
        """Why the candidate is harmful, for people; "": it was not shown to be."""
        shared = len(self.plan.gates) + len(self.plan.predictions)
        tests = shared + 1
        alpha = self.plan.alpha_harmful / 2 / tests
        plan = replace(self.plan, alpha_harmful=alpha * shared, outcomes=())
        found = verdict(self.state, plan, predictions=self.predictions)
        if found.kind is Kind.HARMFUL:
            worst = next(gate for gate in found.gates if gate.measure == found.measure)
            return _said(worst, found.control, found.candidate)
        control, candidate = self.state.control, self.state.candidate
        units = rate_units(FAILING_RATE, WORSE, candidate.requests, candidate.errors)
        healthy = control.errors <= CONTROL_FAILING_RATE * control.requests
        if healthy and log_mean_exp(units) >= -log(alpha):
            return f"{candidate.errors} of {candidate.requests} answers of the candidate failed"
        return ""


def _said(gate: GateVerdict, control: Arm, candidate: Arm) -> str:
    if isinstance(gate.measure, PredictionMeasure):
        return f"{gate.measure}: {gate.candidate_events} answers of the candidate, {gate.control_events} of the control"
    what = "failed" if gate.measure == "errors" else "slow"
    return (
        f"{gate.measure}: {gate.candidate_events} of {candidate.requests} answers of the candidate {what}, "
        f"{gate.control_events} of {control.requests} of the control"
    )
