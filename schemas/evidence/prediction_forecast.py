"""How long gates on predictions need, computed before a candidate meets any traffic. For people.

The e-value of steady traffic is followed along its mean: half of all rollouts are quicker, half are slower.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from modelcast.schemas.evidence.forecast import SECONDS_MAX, about
from modelcast.schemas.evidence.gates import SCORE_EDGES, AnalysisPlan, PredictionGate, PredictionMeasure
from modelcast.schemas.evidence.predictions import BETS
from modelcast.schemas.evidence.verdict import harm_needed


@dataclass(frozen=True, slots=True)
class PredictionForecast:
    """What one gate will show at one share.

    Attributes:
        measure: of the gate.
        difference: that is looked for: the one that the gate must exclude.
        harmful_seconds: until a candidate that differs so much is shown to be harmful; None: not within 90 days.
        harmless_seconds: until one that does not differ at all is shown to be harmless.
    """

    measure: PredictionMeasure
    difference: float
    harmful_seconds: float | None
    harmless_seconds: float | None


def forecast_predictions(
    requests_per_second: float, share: float | None, plan: AnalysisPlan
) -> tuple[PredictionForecast, ...]:
    """The waits of each gate on predictions.

    Args:
        requests_per_second: of both versions together, above 0.
        share: of the candidate, between 0 and 1; None: it is a shadow that gets a copy of each request.
        plan: its gates.
    """
    return tuple(_forecast(gate, requests_per_second, share, plan) for gate in plan.predictions)


def _forecast(gate: PredictionGate, traffic: float, share: float | None, plan: AnalysisPlan) -> PredictionForecast:
    known = gate.measure in {PredictionMeasure.DRIFT, PredictionMeasure.DIFFER}
    if share is None:
        weight_per_second = traffic if known else traffic / 2
    elif gate.measure is PredictionMeasure.DIFFER:
        weight_per_second = 0.0  # there are no copies
    else:
        weight_per_second = traffic * share * (1.0 if known else 1.0 - share)
    parts = 2 * len(SCORE_EDGES) if gate.measure in {PredictionMeasure.SCORES, PredictionMeasure.DRIFT} else 1
    beyond = gate.excluded - gate.tolerated
    harmful = _seconds(beyond, harm_needed(plan) + math.log(parts), weight_per_second)
    harmless = _seconds(gate.excluded, -math.log(plan.alpha_harmless), weight_per_second)
    return PredictionForecast(gate.measure, gate.excluded, harmful, harmless)


def _seconds(beyond: float, needed: float, weight_per_second: float) -> float | None:
    """Until bets on a difference that is by ``beyond`` larger than the limit have won what is needed."""

    def won(weight: float) -> float:
        logs = [bet * beyond * weight - bet * bet * weight / 8 for bet in BETS]
        top = max(logs)
        return top + math.log(sum(math.exp(each - top) for each in logs) / len(logs))

    weight = _least(lambda weight: won(weight) >= needed, weight_per_second * SECONDS_MAX)
    return None if weight is None else max(1.0, weight / weight_per_second)


def _least(reached: Callable[[float], bool], most: float) -> float | None:
    """The least number from which on it is reached, to a thousandth; None: it is beyond ``most``."""
    if not most or not reached(most):
        return None
    low, high = 0.0, most
    while high - low > high / 1000:
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def prediction_sentence(found: PredictionForecast) -> str:
    """The forecast as people say it."""
    if found.harmless_seconds is None and found.harmful_seconds is None:
        return f"{found.measure}: shows nothing at this share"
    return (
        f"{found.measure}: shows a difference of {100 * found.difference:g} % {about(found.harmful_seconds)}, "
        f"proves less {about(found.harmless_seconds)}"
    )
