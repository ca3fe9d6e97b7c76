"""Forecasts of gates on predictions: what they promise is about what comes."""

import random
from statistics import median

import pytest

from modelcast.schemas.evidence.gates import AnalysisPlan, PredictionGate, PredictionMeasure
from modelcast.schemas.evidence.prediction_forecast import forecast_predictions, prediction_sentence
from modelcast.schemas.evidence.predictions import Predictions, PredictionSums, judge_predictions
from modelcast.schemas.evidence.verdict import harm_needed

EMPTY, CONSTANT, SCORES, DRIFT, DIFFER = PredictionMeasure


def plan_of(measure: PredictionMeasure) -> AnalysisPlan:
    return AnalysisPlan(predictions=(PredictionGate(measure, 0.1, 0.3, (1,) if measure is DRIFT else ()),))


@pytest.mark.parametrize(("more", "harmful"), [(0.3, True), (0.0, False)])
def test_the_promised_time_is_about_the_real_one(more: float, harmful: bool) -> None:
    plan, seconds = plan_of(CONSTANT), []
    (promised,) = forecast_predictions(40, 0.25, plan)
    for seed in range(60):
        chance, sums, second = random.Random(seed), PredictionSums(), 0
        while True:
            second += 1
            repeated = (
                sum(chance.random() < 0.2 for _ in range(30)),
                sum(chance.random() < 0.2 + more for _ in range(10)),
            )
            sums = sums.plus(Predictions(30, repeated=repeated[0]), Predictions(10, repeated=repeated[1]))
            found = judge_predictions(plan.predictions[0], sums)
            if found.log_e_harmful >= harm_needed(plan) if harmful else found.log_e_harmless >= 4.6:
                break
        seconds.append(second)
    expected = promised.harmful_seconds if harmful else promised.harmless_seconds
    assert expected is not None
    assert 0.7 <= expected / median(seconds) <= 1.4


def test_scores_have_many_parts_and_a_known_control_needs_fewer_answers() -> None:
    found = {
        measure: forecast_predictions(100, 0.5, plan_of(measure))[0].harmful_seconds for measure in PredictionMeasure
    }
    assert found[SCORES] > found[EMPTY] == found[CONSTANT]  # type: ignore[operator]
    assert found[DRIFT] < found[SCORES]  # type: ignore[operator]
    assert found[DIFFER] is None, "nothing is copied"


def test_a_shadow_gets_copies_of_everything() -> None:
    (found,) = forecast_predictions(100, None, plan_of(DIFFER))
    assert prediction_sentence(found) == "differ: shows a difference of 30 % in about 1 s, proves less in about 1 s"
    (none,) = forecast_predictions(100, 0.01, plan_of(DIFFER))
    assert prediction_sentence(none) == "differ: shows nothing at this share"
