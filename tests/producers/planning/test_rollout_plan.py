"""The plan of a rollout out of what people write about it."""

import pytest

from modelcast.producers.planning.rollout_plan import rollout_plan_of
from modelcast.schemas.errors import UsageError
from modelcast.schemas.evidence.gates import Measure
from modelcast.schemas.traffic.steps_and_gates import CANARY, GRADUAL, PlanStep


def test_a_plan_is_the_ready_made_one_but_for_what_is_asked_for() -> None:
    assert rollout_plan_of("canary") == CANARY
    found = rollout_plan_of("gradual", steps="1@10m,100", waves="eu;us,ap", key="header:X-User", gates=["errors=3x"],
                    standby="sa", bake_seconds=60.0)  # fmt: skip
    assert found.steps == (PlanStep(100, 600), PlanStep(10_000, GRADUAL.steps[0].seconds))
    assert found.waves == (("eu",), ("us", "ap"))
    assert (str(found.key), found.standby, found.bake_seconds) == ("header:x-user", ("sa",), 60.0)
    assert {gate.measure: gate.harmful for gate in found.gates.gates} == {Measure.ERRORS: 3.0, Measure.LATENCY: 1.2}


def test_a_plan_that_takes_long_has_a_deadline_that_fits() -> None:
    assert rollout_plan_of("gradual", steps="1@30d,100@30d").deadline_seconds == 120 * 86_400
    with pytest.raises(UsageError, match="deadline"):
        rollout_plan_of("gradual", deadline_seconds=60.0)


@pytest.mark.parametrize("strategy", ["", "hope", "Canary"])
def test_a_strategy_that_is_none_is_refused_with_those_that_are(strategy: str) -> None:
    with pytest.raises(UsageError, match="canary, gradual"):
        rollout_plan_of(strategy)
