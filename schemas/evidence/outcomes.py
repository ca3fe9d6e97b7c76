"""What users did, or what labels said later: one number each, compared between the versions as a difference of means.

The comparison may be looked at as often as one likes (``means``). Only sums are kept, whatever the number of outcomes.
"""

from dataclasses import dataclass, field

from modelcast.schemas.evidence.gates import OutcomeGate
from modelcast.schemas.evidence.kinds import Kind
from modelcast.schemas.evidence.means import Moments, difference


@dataclass(frozen=True, slots=True)
class OutcomeTotals:
    """All outcomes of one name so far. Sums of whole numbers: they may come in any order."""

    name: str
    control: Moments = field(default_factory=Moments)
    candidate: Moments = field(default_factory=Moments)

    def plus(self, other: "OutcomeTotals") -> "OutcomeTotals":
        """Both together."""
        return OutcomeTotals(self.name, self.control.plus(other.control), self.candidate.plus(other.candidate))


@dataclass(frozen=True, slots=True)
class OutcomeVerdict:
    """One outcome gate.

    Attributes:
        name: of the outcome.
        kind: what it has shown by itself.
        control_count: values of the control.
        candidate_count: values of the candidate.
        control_mean: their mean; 0 of none.
        candidate_mean: their mean; 0 of none.
        low: the candidate's mean minus the control's is at least this, with the confidence of the plan, at all times at
            once; None: there are too few values, or all are alike.
        high: it is at most this.
    """

    name: str
    kind: Kind
    control_count: int
    candidate_count: int
    control_mean: float
    candidate_mean: float
    low: float | None
    high: float | None


def judge_outcome(
    gate: OutcomeGate, totals: OutcomeTotals, *, alpha_harmful: float, alpha_harmless: float
) -> OutcomeVerdict:
    """What the outcomes of a gate's name show.

    The candidate is harmful when its mean is proved to be beyond what is tolerated of the control's, and harmless when
    it is proved to be within. An interval misses on either side; the verdict needs one, so half of its alpha is spared.
    """
    control, candidate, planned = totals.control, totals.candidate, gate.planned
    plain = difference(control, candidate, alpha=alpha_harmful, planned=planned)
    factor = gate.factor(control.mean)
    against = difference(control, candidate, alpha=alpha_harmful, planned=planned, factor=factor)
    for_it = difference(control, candidate, alpha=alpha_harmless, planned=planned, factor=factor)
    kind = Kind.UNDECIDED
    if against is not None and (against.high < 0 if gate.higher_is_better else against.low > 0):
        kind = Kind.HARMFUL
    elif for_it is not None and (for_it.low > 0 if gate.higher_is_better else for_it.high < 0):
        kind = Kind.HARMLESS
    return OutcomeVerdict(
        gate.name,
        kind,
        control.count,
        candidate.count,
        control.mean,
        candidate.mean,
        plain.low if plain is not None else None,
        plain.high if plain is not None else None,
    )
