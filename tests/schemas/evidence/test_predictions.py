"""Gates on predictions: what the outputs of both versions are like, without a label."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelcast.schemas.errors import ContentError, UsageError
from modelcast.schemas.evidence.gates import SCORE_BINS, SCORE_EDGES, AnalysisPlan, PredictionGate, PredictionMeasure
from modelcast.schemas.evidence.kinds import Kind
from modelcast.schemas.evidence.predictions import Predictions, PredictionSums, judge_predictions, score_bin
from modelcast.schemas.evidence.replay import Evidence, decode_evidence, encode_evidence, replayed
from modelcast.schemas.evidence.verdict import GateVerdict, empty, harm_needed, verdict

EMPTY, CONSTANT, SCORES, DRIFT, DIFFER = PredictionMeasure


def plan_of(*measures: PredictionMeasure, reference: tuple[int, ...] = ()) -> AnalysisPlan:
    return AnalysisPlan(
        predictions=tuple(PredictionGate(m, 0.1, 0.2, reference if m is DRIFT else ()) for m in measures)
    )


def scores_of(chance: random.Random, count: int, mean: float) -> tuple[int, ...]:
    found = [0] * SCORE_BINS
    for _ in range(count):
        found[score_bin(1 / (1 + math.exp(-chance.gauss(mean, 1))))] += 1
    return tuple(found)


def judged(plan: AnalysisPlan, sums: PredictionSums) -> GateVerdict:
    (found,) = verdict(empty(plan), plan, predictions=sums).gates[len(plan.gates) :]
    return found


def seconds_until(
    plan: AnalysisPlan, shift: float, seed: int, *, share: int = 5, seconds: int = 1200
) -> tuple[Kind, int]:
    """Of 40 answers a second, ``share`` of them the candidate's, whose scores are drawn from a distribution that moves
    with the time of day for both."""
    chance, sums = random.Random(seed), PredictionSums()
    for second in range(seconds):
        mean = 2 * math.sin(second / 90)
        control = Predictions(40 - share, scores=scores_of(chance, 40 - share, mean))
        sums = sums.plus(control, Predictions(share, scores=scores_of(chance, share, mean + shift)))
        if second % 10 == 9 and (kind := judged(plan, sums).kind) is not Kind.UNDECIDED:
            return kind, second
    return Kind.UNDECIDED, seconds


def test_scores_that_have_moved_are_shown_and_those_that_move_with_the_controls_are_not() -> None:
    plan = plan_of(SCORES)
    assert [seconds_until(plan, 1.5, seed)[0] for seed in range(5)] == [Kind.HARMFUL] * 5
    assert max(seconds_until(plan, 1.5, seed)[1] for seed in range(5)) <= 60
    assert [seconds_until(plan, 0.0, seed)[0] for seed in range(5)] == [Kind.HARMLESS] * 5


def test_a_share_that_grows_while_scores_move_is_no_difference() -> None:
    """In the sums over the day the versions differ much; second by second they do not (Simpson's paradox)."""
    chance, sums, plan = random.Random(3), PredictionSums(), plan_of(SCORES)
    for second in range(300):
        share = 2 if second < 150 else 38
        mean = -2.0 if second < 150 else 2.0
        control = Predictions(40 - share, scores=scores_of(chance, 40 - share, mean))
        sums = sums.plus(control, Predictions(share, scores=scores_of(chance, share, mean)))
    at = score_bin(0.5)
    parts = [sum(each.scores[: at + 1]) / sum(each.scores) for each in (sums.control, sums.candidate)]
    assert abs(parts[0] - parts[1]) > 0.5
    assert judged(plan, sums).kind is Kind.HARMLESS


def test_a_difference_within_tolerance_is_hardly_ever_called_harmful_in_any_second() -> None:
    """On the border: a tenth of the answers has moved across one score."""
    plan, false = plan_of(CONSTANT), 0
    for seed in range(300):
        chance, sums = random.Random(seed), PredictionSums()
        for _ in range(60):
            repeated = sum(chance.random() < 0.3 for _ in range(20)), sum(chance.random() < 0.4 for _ in range(20))
            sums = sums.plus(Predictions(20, repeated=repeated[0]), Predictions(20, repeated=repeated[1]))
            if judge_predictions(plan.predictions[0], sums).log_e_harmful >= harm_needed(plan):
                false += 1
                break
    assert false <= 3, "alpha is 1 %, and this gate has a third of it"


@pytest.mark.parametrize("measure", [EMPTY, CONSTANT])
def test_a_version_whose_every_answer_is_empty_or_constant_is_shown_within_some_answers(
    measure: PredictionMeasure,
) -> None:
    plan, sums, answers = plan_of(measure), PredictionSums(), 0
    while judged(plan, sums).kind is Kind.UNDECIDED and answers < 100:
        answers += 1
        bad = {"empty": 1} if measure is EMPTY else {"repeated": 1}
        sums = sums.plus(Predictions(99), Predictions(1, **bad))
    assert judged(plan, sums).kind is Kind.HARMFUL
    assert answers <= 8


def test_a_shadow_that_answers_otherwise_is_harmful_and_one_that_agrees_is_harmless() -> None:
    plan = plan_of(DIFFER)
    assert judged(plan, PredictionSums().plus(Predictions(), Predictions(copies=400, differ=100))).kind is Kind.HARMFUL
    assert judged(plan, PredictionSums().plus(Predictions(), Predictions(copies=400, differ=4))).kind is Kind.HARMLESS
    assert judged(plan, PredictionSums()).kind is Kind.UNDECIDED


def test_drift_is_a_difference_from_the_reference_whatever_the_control_does() -> None:
    chance = random.Random(5)
    plan = plan_of(DRIFT, reference=scores_of(chance, 5000, 0.0))
    for shift, kind in ((0.0, Kind.HARMLESS), (1.5, Kind.HARMFUL)):
        same = scores_of(chance, 500, shift)
        sums = PredictionSums().plus(Predictions(500, scores=same), Predictions(500, scores=same))
        assert judged(plan, sums).kind is kind
    assert judged(plan, PredictionSums()).kind is Kind.UNDECIDED


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 50)] * 2, st.lists(st.integers(0, 9), max_size=SCORE_BINS)), max_size=8))
def test_intervals_may_come_in_any_order_and_are_replayed_to_the_last_bit(
    intervals: list[tuple[int, int, list[int]]],
) -> None:
    def sums(order: list[tuple[int, int, list[int]]]) -> PredictionSums:
        found = PredictionSums()
        for control, candidate, scores in order:
            found = found.plus(
                Predictions(control, 0, control // 2, scores=tuple(scores[::-1])),
                Predictions(candidate, candidate // 3, candidate, 7, 3, tuple(scores)),
            )
        return found

    one = sums(intervals)
    assert one == sums(intervals[::-1])
    plan = plan_of(EMPTY, CONSTANT, SCORES, DIFFER)
    read = decode_evidence(encode_evidence(Evidence(plan, (), (), one)))
    assert read == Evidence(plan, (), (), one)
    assert replayed(read) == verdict(empty(plan), plan, predictions=one)


def test_gates_share_alpha_and_all_must_be_harmless() -> None:
    plain, more = AnalysisPlan(), plan_of(EMPTY, SCORES)
    assert harm_needed(more) == pytest.approx(harm_needed(plain) + math.log(2))
    found = verdict(empty(more), more, predictions=PredictionSums())
    assert [str(gate.measure) for gate in found.gates] == ["errors", "latency", "empty", "scores"]
    assert found.kind is Kind.UNDECIDED


PINNED = ["0x1.5cab11f70febep+5", "-0x1.4d76ade9f58c6p+1"]


def test_the_verdict_of_these_sums_is_kept_for_ever() -> None:
    """On every machine and Python, or what was decided years ago could not be explained any more."""
    chance, sums = random.Random(7), PredictionSums()
    for _ in range(100):
        counts = [tuple(chance.randrange(top) for _ in range(SCORE_BINS)) for top in (9, 3)]
        shifted = (0,) * 9 + counts[1][9:]
        sums = sums.plus(Predictions(scores=counts[0]), Predictions(scores=shifted))
    found = judged(plan_of(SCORES), sums)
    assert [found.log_e_harmful.hex(), found.log_e_harmless.hex()] == PINNED


def test_bins_hold_what_is_up_to_their_edge() -> None:
    assert [score_bin(edge) for edge in SCORE_EDGES] == list(range(SCORE_BINS - 1))
    assert score_bin(1e300) == SCORE_BINS - 1
    assert score_bin(-1e300) == 0
    assert tuple(sorted(set(SCORE_EDGES))) == SCORE_EDGES


@pytest.mark.parametrize(
    "wrong",
    [{"looked": -1}, {"looked": 1, "empty": 2}, {"copies": 1, "differ": 2}, {"scores": (1,) * (SCORE_BINS + 1)},
     {"looked": True}],
)  # fmt: skip
def test_counts_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ContentError):
        Predictions(**wrong)  # type: ignore[arg-type]


def test_gates_that_make_no_sense_are_refused() -> None:
    for tolerated, excluded in ((0.2, 0.1), (-0.1, 0.1), (0.1, 1.1)):
        with pytest.raises(UsageError):
            PredictionGate(SCORES, tolerated, excluded)
    for measure, reference in ((DRIFT, ()), (SCORES, (1, 2))):
        with pytest.raises(UsageError, match="reference"):
            PredictionGate(measure, 0.1, 0.2, reference)
