"""Evidence folded second by second, and the verdict that it allows. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from modelcast.schemas.evidence.counts import SHARES, Arm, Counts
from modelcast.schemas.evidence.gates import AnalysisPlan, Gate, Measure, PredictionMeasure
from modelcast.schemas.evidence.kinds import Kind
from modelcast.schemas.evidence.outcomes import OutcomeTotals, OutcomeVerdict, judge_outcome
from modelcast.schemas.evidence.portable_math import log, log_mean_exp
from modelcast.schemas.evidence.predictions import PredictionSums, judge_predictions
from modelcast.schemas.evidence.ratio import (
    BETTER,
    WORSE,
    Units,
    rate_units,
    ratio_terms,
    sample_ratio_size,
    sample_ratio_terms,
)


@dataclass(frozen=True, slots=True)
class EvidenceState:
    """All evidence so far. Sums of whole numbers: counts may come in any order.

    Attributes:
        control: totals of the control.
        candidate: totals of the candidate.
        harmful: of each gate of the plan, the log e-values of its alternatives against "not harmful", in units.
        harmless: the same against "not harmless".
        sample_ratio: the same against "requests fall to the versions by their shares".
    """

    control: Arm
    candidate: Arm
    harmful: tuple[Units, ...]
    harmless: tuple[Units, ...]
    sample_ratio: Units


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """One gate.

    Attributes:
        measure: what it compares.
        kind: what it has shown by itself.
        log_e_harmful: the logarithm of the e-value against "within the tolerated ratio".
        log_e_harmless: the same against "beyond the ratio that must be excluded".
        needed_harmful: what ``log_e_harmful`` must reach.
        needed_harmless: what ``log_e_harmless`` must reach.
        control_events: errors or slow answers of the control; of a gate on predictions, those that it is about.
        candidate_events: the candidate's; slow ones against the threshold of harm.
    """

    measure: Measure | PredictionMeasure
    kind: Kind
    log_e_harmful: float
    log_e_harmless: float
    needed_harmful: float
    needed_harmless: float
    control_events: int
    candidate_events: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the evidence allows to say.

    Attributes:
        kind: *harmful* if any gate shows it; *harmless* if all do and the sample ratio holds; else *undecided*, which
            is neither a failure nor a success.
        measure: the gate that shows harm, or the one that is farthest from harmless (``outcome:NAME`` of outcomes);
            None once harmless.
        gates: each gate by itself, in the plan's order; those on predictions follow.
        log_e_sample_ratio: the logarithm of the e-value against "requests fall by the shares".
        sample_ratio_holds: False when it was shown that they do not: then who got the candidate was not left to chance,
            and nothing is called harmless.
        control: totals.
        candidate: totals.
        outcomes: each outcome gate by itself, in the plan's order.
        shares: of a bandit: the candidate's share after each batch, in ten-thousandths.
    """

    kind: Kind
    measure: str | None
    gates: tuple[GateVerdict, ...]
    log_e_sample_ratio: float
    sample_ratio_holds: bool
    control: Arm
    candidate: Arm
    outcomes: tuple[OutcomeVerdict, ...] = ()
    shares: tuple[int, ...] = ()


def empty(plan: AnalysisPlan) -> EvidenceState:
    """No evidence: every e-value is 1."""
    return EvidenceState(
        Arm(),
        Arm(),
        tuple((0,) * len(WORSE) for _ in plan.gates),
        tuple((0,) * len(BETTER) for _ in plan.gates),
        (0,) * sample_ratio_size(2),
    )


def add_counts(state: EvidenceState, counts: Counts, plan: AnalysisPlan) -> EvidenceState:
    """The evidence with one more second of one stratum. Any order gives the same state.

    Counts are taken as they are: the same ones twice count twice.
    """
    control, candidate = counts.control, counts.candidate
    requests = (control.requests, candidate.requests)
    harmful, harmless = list(state.harmful), list(state.harmless)
    for number, gate in enumerate(plan.gates):
        worse, better = _events(gate, control, candidate)
        harmful[number] = _add(harmful[number], ratio_terms(gate.tested_harmful, WORSE, requests, worse))
        harmless[number] = _add(harmless[number], ratio_terms(gate.tested_harmless, BETTER, requests, better))
    share = counts.share
    terms = (
        None if share is None else sample_ratio_terms(requests, (SHARES - share, share), plan.sample_ratio_tolerance)
    )
    return EvidenceState(
        state.control.plus(control),
        state.candidate.plus(candidate),
        tuple(harmful),
        tuple(harmless),
        _add(state.sample_ratio, terms),
    )


def fold_counts(counts: Iterable[Counts], plan: AnalysisPlan) -> EvidenceState:
    """The evidence of all these counts."""
    state = empty(plan)
    for each in counts:
        state = add_counts(state, each, plan)
    return state


def verdict(
    state: EvidenceState,
    plan: AnalysisPlan,
    outcomes: Iterable[OutcomeTotals] = (),
    predictions: PredictionSums | None = None,
) -> Verdict:
    """What the evidence allows to say now. Asking again after every second costs no certainty."""
    totals = {each.name: each for each in outcomes}
    judged = tuple(
        judge_outcome(
            gate,
            totals.get(gate.name, OutcomeTotals(gate.name)),
            alpha_harmful=plan.alpha_harmful / plan.tests,
            alpha_harmless=plan.alpha_harmless,
        )
        for gate in plan.outcomes
    )
    gates = (
        *(_judge(number, gate, state, plan) for number, gate in enumerate(plan.gates)),
        *_judge_predictions(plan, predictions or PredictionSums()),
    )
    sample_ratio = log_mean_exp(state.sample_ratio)
    holds = sample_ratio < _needed(plan.alpha_sample_ratio)
    kind, measure = _overall(gates, judged, holds=holds)
    return Verdict(kind, measure, gates, sample_ratio, holds, state.control, state.candidate, judged)


def _overall(
    gates: tuple[GateVerdict, ...], outcomes: tuple[OutcomeVerdict, ...], *, holds: bool
) -> tuple[Kind, str | None]:
    harming = [gate for gate in gates if gate.kind is Kind.HARMFUL]
    if harming:
        return Kind.HARMFUL, max(harming, key=lambda gate: gate.log_e_harmful - gate.needed_harmful).measure
    if bad := next((each for each in outcomes if each.kind is Kind.HARMFUL), None):
        return Kind.HARMFUL, f"outcome:{bad.name}"
    if any(gate.kind is not Kind.HARMLESS for gate in gates):
        return Kind.UNDECIDED, min(gates, key=lambda gate: gate.log_e_harmless - gate.needed_harmless).measure
    if open_ := next((each for each in outcomes if each.kind is not Kind.HARMLESS), None):
        return Kind.UNDECIDED, f"outcome:{open_.name}"
    if not holds:
        return Kind.UNDECIDED, min(gates, key=lambda gate: gate.log_e_harmless - gate.needed_harmless).measure
    return Kind.HARMLESS, None


def _judge(number: int, gate: Gate, state: EvidenceState, plan: AnalysisPlan) -> GateVerdict:
    """One gate. Harm needs both proofs (a minimum is an e-value of the union of two nulls); harmlessness needs one
    (a mean is an e-value of their intersection)."""
    worse, _ = _events(gate, state.control, state.candidate)
    harmful, harmless = log_mean_exp(state.harmful[number]), log_mean_exp(state.harmless[number])
    if gate.acceptable_rate:
        requests, events = state.candidate.requests, state.candidate.errors
        harmful = min(harmful, log_mean_exp(rate_units(gate.acceptable_rate, WORSE, requests, events)))
        within = rate_units(gate.acceptable_rate, BETTER, requests, events)
        harmless = log_mean_exp((*state.harmless[number], *within))
    needed_harmful = harm_needed(plan)
    needed_harmless = _needed(plan.alpha_harmless)
    kind = _kind(harmful >= needed_harmful, harmless >= needed_harmless)
    return GateVerdict(gate.measure, kind, harmful, harmless, needed_harmful, needed_harmless, *worse)


def _judge_predictions(plan: AnalysisPlan, sums: PredictionSums) -> Iterator[GateVerdict]:
    needed_harmful, needed_harmless = harm_needed(plan), _needed(plan.alpha_harmless)
    for gate in plan.predictions:
        found = judge_predictions(gate, sums)
        harmful, harmless = found.log_e_harmful, found.log_e_harmless
        kind = _kind(harmful >= needed_harmful, harmless >= needed_harmless)
        events = (found.control_events, found.candidate_events)
        yield GateVerdict(gate.measure, kind, harmful, harmless, needed_harmful, needed_harmless, *events)


def _kind(harmful: bool, harmless: bool) -> Kind:
    if harmful:
        return Kind.HARMFUL
    return Kind.HARMLESS if harmless else Kind.UNDECIDED


def harm_needed(plan: AnalysisPlan) -> float:
    """The log e-value at which a gate shows harm: each of the gates has an equal part of alpha (Bonferroni)."""
    return _needed(plan.alpha_harmful / plan.tests)


def _needed(alpha: float) -> float:
    return -log(alpha)


def _events(gate: Gate, control: Arm, candidate: Arm) -> tuple[tuple[int, int], tuple[int, int]]:
    """(control, candidate) events of the test for harm, and of the one for harmlessness."""
    if gate.measure is Measure.ERRORS:
        errors = (control.errors, candidate.errors)
        return errors, errors
    return (control.slow, candidate.slow_harmful), (control.slow, candidate.slow_harmless)


def _add(sums: Units, terms: Units | None) -> Units:
    return sums if terms is None else tuple(a + b for a, b in zip(sums, terms, strict=True))
