"""Plans: the ready-made ones, what people write, what comes back from the log, and what can't be carried out."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcast.schemas.errors import DecodeError, UsageError
from modelcast.schemas.evidence.gates import ERRORS, LATENCY, Measure, PredictionGate, PredictionMeasure
from modelcast.schemas.traffic.request_key import KeySource, RequestKey
from modelcast.schemas.traffic.steps_and_gates import (
    BANDIT,
    BLUE_GREEN,
    CANARY,
    GRADUAL,
    READY_MADE,
    PlanStep,
    RolloutPlan,
    Strategy,
    decode_plan,
    encode_plan,
)
from modelcast.schemas.traffic.written_plans import gate_of, is_prediction_gate, plan_steps_of, prediction_gate_of


def test_the_usual_canary_is_1_10_50_100_per_cent_at_errors_1_5_and_p99_1_2() -> None:
    assert [step.share for step in CANARY.steps] == [100, 1_000, 5_000, 10_000]
    assert {gate.measure: gate.harmful for gate in CANARY.gates.gates} == {Measure.ERRORS: 1.5, Measure.LATENCY: 1.2}
    assert any(step.proof for step in CANARY.steps), "nobody is promoted without proof"


def test_the_usual_ramp_is_5_10_25_50_100_per_cent_by_the_hours_1_2_4_8_12() -> None:
    hours, ends = 0.0, {}
    for step in GRADUAL.steps:
        hours += step.seconds / 3600
        ends[step.share] = hours
    assert ends == {500: 1, 1_000: 2, 2_500: 4, 5_000: 8, 10_000: 12}


@pytest.mark.parametrize("name", sorted(READY_MADE))
def test_a_ready_made_plan_comes_back_from_the_log(name: str) -> None:
    plan = READY_MADE[name]
    assert decode_plan(encode_plan(plan)) == plan
    assert str(plan.strategy) == name


def test_everything_in_a_plan_comes_back() -> None:
    plan = replace(
        CANARY,
        waves=(("eu",), ("us", "ap")),
        standby=("sa",),
        key=RequestKey(KeySource.FIELD, "user_id"),
        gates=replace(CANARY.gates, gates=(replace(ERRORS, harmful=1.7), LATENCY)),
        bake_seconds=60.0,
    )
    assert decode_plan(encode_plan(plan)) == plan
    assert [plan.wave_of(region) for region in ("eu", "us", "sa", "new")] == [0, 1, -1, 2]


def test_steps_as_people_write_them() -> None:
    assert plan_steps_of("1,10%,50@1h!,100@30s", seconds=300) == (
        PlanStep(100, 300),
        PlanStep(1_000, 300),
        PlanStep(5_000, 3_600, proof=True),
        PlanStep(10_000, 30),
    )
    assert plan_steps_of("0.5", seconds=1) == (PlanStep(50, 1),)


@pytest.mark.parametrize("text", ["", "a", "1,,2", "1@", "1@x", "101", "-1", "0.001", "nan", "inf", "1e400"])
def test_what_is_no_step_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"write|0 to 100"):
        plan_steps_of(text, seconds=300)


def test_gates_on_predictions_as_people_write_them() -> None:
    assert prediction_gate_of("scores<=10%") == PredictionGate(PredictionMeasure.SCORES, 0.1, 0.2)
    assert prediction_gate_of("empty<=+1%/5%") == PredictionGate(PredictionMeasure.EMPTY, 0.01, 0.05)
    assert prediction_gate_of("drift<=10%", (1, 2)).reference == (1, 2)
    assert prediction_gate_of("constant<=60%").excluded == 1.0
    assert is_prediction_gate("differ<=5%")
    assert not is_prediction_gate("errors=1.5x")
    for wrong in ("scores<=10", "scores=10%", "luck<=1%", "scores<=20%/10%", "scores<=x%", "drift<=10%"):
        with pytest.raises(UsageError):
            prediction_gate_of(wrong)


def test_a_plan_with_gates_on_predictions_survives_its_way() -> None:
    gates = (prediction_gate_of("scores<=10%"), prediction_gate_of("drift<=15%", (3, 0, 2)))
    plan = replace(CANARY, gates=replace(CANARY.gates, predictions=gates))
    assert decode_plan(encode_plan(plan)) == plan
    for wrong in ({"measure": "luck"}, {"reference": [-1]}, {"reference": [1.5]}, {"tolerated": 2}, {"more": 1}):
        written = json.loads(encode_plan(plan))
        written["gates"]["predictions"][1].update(wrong)
        with pytest.raises(DecodeError):
            decode_plan(json.dumps(written))


def test_gates_as_people_write_them() -> None:
    assert gate_of("errors=1.5x") == ERRORS
    assert gate_of("p99=1.2x") == LATENCY
    assert gate_of("errors=2x/3x") == replace(ERRORS, harmful=2.0, harmless=3.0)
    for wrong in ("cpu=2x", "errors", "errors=x", "p99=0.5x", "errors=3x/2x"):
        with pytest.raises(UsageError):
            gate_of(wrong)


def _plan(**fields: object) -> RolloutPlan:
    return replace(CANARY, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "fields",
    [
        {"steps": ()},
        {"steps": (PlanStep(1_000), PlanStep(100))},
        {"steps": (PlanStep(10_000, proof=True),)},
        {"steps": (PlanStep(100, 10), PlanStep(10_000)), "deadline_seconds": 5.0},
        {"waves": (("eu",), ("eu",))},
        {"waves": (("EU!",),)},
        {"waves": ((),)},
        {"standby": ("eu",), "waves": (("eu",),)},
        {"bake_seconds": -1.0},
        {"silence_seconds": 1.0},
        {"strategy": Strategy.SHADOW},
    ],
    ids=str,
)
def test_a_plan_that_cannot_be_carried_out_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        _plan(**fields)


@pytest.mark.parametrize(
    "damage",
    [
        {"format": 9},
        {"strategy": "hope"},
        {"steps": [{"share": 1}]},
        {"steps": [{"share": "1", "seconds": 1, "proof": False}]},
        {"gates": {}},
        {"gates": {"gates": [{"measure": "luck", "harmful": 1.5, "harmless": 2, "acceptable_rate": 0}]}},
        {"waves": [["eu", 1]]},
        {"waves": "eu"},
        {"deadline_seconds": float("inf")},
        {"unknown": 1},
    ],
    ids=str,
)
def test_a_plan_of_others_is_checked_like_ones_own(damage: dict[str, object]) -> None:
    fields = {**json.loads(encode_plan(CANARY)), **damage}
    with pytest.raises(DecodeError):
        decode_plan(json.dumps(fields))


@given(st.text(max_size=80))
def test_garbage_is_no_plan(text: str) -> None:
    with pytest.raises(DecodeError):
        decode_plan(text)


@pytest.mark.parametrize("text", ["header:X-User", "field:user_id", "random"])
def test_a_key_comes_back_from_its_text(text: str) -> None:
    assert RequestKey.parse(str(RequestKey.parse(text))) == RequestKey.parse(text)


@pytest.mark.parametrize("text", ["header", "header:", "field:a b", "cookie:x", "header:x:y", "random:1"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write header:NAME"):
        RequestKey.parse(text)


def test_only_blue_green_switches_at_an_instant_and_in_all_regions() -> None:
    plan = replace(BLUE_GREEN, switch_at_us=1_800_000_000_000_000)
    assert decode_plan(encode_plan(plan)) == plan
    for wrong, why in (
        (lambda: replace(CANARY, switch_at_us=1), "only blue-green"),
        (lambda: replace(BLUE_GREEN, switch_at_us=1, waves=(("eu",),)), "leave out one"),
        (lambda: replace(BLUE_GREEN, switch_at_us=10**18), "9999"),
    ):
        with pytest.raises(UsageError) as caught:
            wrong()
        assert why in str(caught.value.hint)


@pytest.mark.parametrize("steps", ["1,95@15m", "50@15m", "100@15m", "95@5s", "95@0s"])
def test_a_bandit_has_one_step_that_leaves_a_floor_and_lasts(steps: str) -> None:
    assert (BANDIT.floor, BANDIT.gates.outcomes[0].name) == (500, "reward")
    assert decode_plan(encode_plan(BANDIT)) == BANDIT
    with pytest.raises(UsageError, match="bandit"):
        replace(BANDIT, steps=plan_steps_of(steps, seconds=900))
    with pytest.raises(UsageError, match="without an outcome"):
        replace(BANDIT, gates=replace(BANDIT.gates, outcomes=()))
