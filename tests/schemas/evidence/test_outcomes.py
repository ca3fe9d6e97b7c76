"""Outcome gates: what is proved of two means, and what a plan and the evidence keep of them."""

from dataclasses import replace

import numpy as np
import pytest

from modelcast.schemas.errors import DecodeError, UsageError
from modelcast.schemas.evidence.gates import AnalysisPlan, OutcomeGate
from modelcast.schemas.evidence.kinds import Kind
from modelcast.schemas.evidence.means import MICRO, Moments
from modelcast.schemas.evidence.outcomes import OutcomeTotals, judge_outcome
from modelcast.schemas.evidence.replay import Evidence, decode_evidence, encode_evidence, encode_verdict, replayed
from modelcast.schemas.evidence.verdict import empty, verdict

CTR = OutcomeGate("ctr", tolerated=0.05, planned=40_000)


def yes(ones: int, count: int) -> Moments:
    """So many ones, and zeros."""
    return Moments(count, ones * MICRO, ones * MICRO * MICRO)


def kind(gate: OutcomeGate, control: Moments, candidate: Moments) -> Kind:
    totals = OutcomeTotals(gate.name, control, candidate)
    return judge_outcome(gate, totals, alpha_harmful=0.01, alpha_harmless=0.01).kind


def test_a_mean_that_is_proved_to_be_worse_than_tolerated_harms_and_one_within_does_not() -> None:
    assert kind(CTR, yes(10_000, 100_000), yes(8_000, 100_000)) is Kind.HARMFUL
    assert kind(CTR, yes(10_000, 100_000), yes(10_400, 100_000)) is Kind.HARMLESS
    assert kind(CTR, yes(10_000, 100_000), yes(9_700, 100_000)) is Kind.UNDECIDED
    assert kind(CTR, yes(10, 100), yes(0, 100)) is Kind.UNDECIDED, "little data proves nothing"


def test_where_lower_is_better_more_of_it_harms() -> None:
    refunds = OutcomeGate("refunds", tolerated=0.05, higher_is_better=False, planned=40_000)
    assert kind(refunds, yes(10_000, 100_000), yes(12_000, 100_000)) is Kind.HARMFUL
    assert kind(refunds, yes(10_000, 100_000), yes(9_000, 100_000)) is Kind.HARMLESS


def test_what_is_tolerated_of_a_loss_is_a_larger_loss() -> None:
    assert CTR.factor(-2.0) == 1.05
    assert replace(CTR, higher_is_better=False).factor(-2.0) == 0.95


def test_a_verdict_looked_at_all_the_time_is_seldom_wrong_about_a_candidate_on_the_border() -> None:
    rng, wrong = np.random.default_rng(5), 0
    for _ in range(200):
        control = candidate = Moments()
        found = set[Kind]()
        for _ in range(100):
            control = control.plus(yes(int(rng.binomial(200, 0.2)), 200))
            candidate = candidate.plus(yes(int(rng.binomial(50, 0.2 * 0.95)), 50))
            found.add(kind(replace(CTR, planned=10_000), control, candidate))
        wrong += bool(found & {Kind.HARMFUL, Kind.HARMLESS})
    assert wrong <= 8, "1 % for either verdict"


def test_a_plan_with_outcomes_promotes_nobody_without_them_and_aborts_by_them() -> None:
    plan = AnalysisPlan(outcomes=(CTR,))
    assert verdict(empty(plan), plan).outcomes[0].kind is Kind.UNDECIDED
    found = verdict(empty(plan), plan, [OutcomeTotals("ctr", yes(10_000, 100_000), yes(8_000, 100_000))])
    assert (found.kind, found.measure) == (Kind.HARMFUL, "outcome:ctr")


def test_outcomes_are_kept_with_the_evidence_and_give_the_same_verdict_again() -> None:
    plan = AnalysisPlan(outcomes=(CTR, OutcomeGate("sales", planned=7)))
    totals = (OutcomeTotals("ctr", yes(10_000, 100_000), yes(8_000, 100_000)),)
    kept = Evidence(plan, (), totals)
    read = decode_evidence(encode_evidence(kept))
    assert read == kept
    assert encode_verdict(replayed(read)) == encode_verdict(verdict(empty(plan), plan, totals))


@pytest.mark.parametrize("row", [["ctr"], [1, 1, 1, 1, 1, 1, 1], ["ctr", 1, 1, 1, 1, 1, "x"], "ctr"])
def test_rows_that_are_none_are_refused(row: object) -> None:
    import json
    import zlib

    document = json.loads(zlib.decompress(encode_evidence(Evidence(AnalysisPlan(), ()))))
    with pytest.raises(DecodeError):
        decode_evidence(zlib.compress(json.dumps({**document, "outcomes": [row]}).encode()))


@pytest.mark.parametrize(
    "wrong", [{"name": ""}, {"name": "a b"}, {"tolerated": 1.5}, {"tolerated": float("nan")}, {"planned": 0}]
)
def test_a_gate_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        replace(CTR, **wrong)  # type: ignore[arg-type]


def test_a_plan_has_each_outcome_once() -> None:
    with pytest.raises(UsageError, match="each outcome once"):
        AnalysisPlan(outcomes=(CTR, CTR))
