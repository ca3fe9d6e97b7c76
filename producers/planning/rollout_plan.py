"""The plan of a rollout, out of what people write about it. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from modelcast.schemas.errors import UsageError
from modelcast.schemas.names import check_region
from modelcast.schemas.traffic.request_key import RequestKey
from modelcast.schemas.traffic.steps_and_gates import READY_MADE, RolloutPlan
from modelcast.schemas.traffic.written_plans import (
    gate_of,
    is_prediction_gate,
    outcome_gate_of,
    plan_steps_of,
    prediction_gate_of,
)


def rollout_plan_of(
    strategy: str,
    *,
    steps: str = "",
    gates: Sequence[str] = (),
    reference: Sequence[int] = (),
    waves: str = "",
    standby: str = "",
    key: str = "",
    bake_seconds: float | None = None,
    deadline_seconds: float | None = None,
    switch_at_us: int = 0,
) -> RolloutPlan:
    """A ready-made plan with what is asked for otherwise.

    Args:
        strategy: its name, as in canary.
        steps: as in ``1,10@1h,50!,100`` (``plan_steps_of``); "": the plan's own.
        gates: as in ``errors=1.5x`` (``gate_of``), others stay as they are; ``outcome:ctr>=-1%`` (``outcome_gate_of``);
            ``scores<=10%`` (``prediction_gate_of``).
        reference: of ``drift``: how many scores of the version's reference fall into each bin.
        waves: regions, as in ``eu;us,ap``; "": all at once.
        standby: regions, as in ``ap,sa``.
        key: as in ``header:x-user`` (``RequestKey.parse``).
        bake_seconds: None: the plan's own.
        deadline_seconds: None: the plan's own, or twice what its steps need.
        switch_at_us: when all regions of a blue-green rollout switch; 0: as soon as they can.

    Raises:
        UsageError: there is no such strategy, or something makes no sense.
    """
    if strategy not in READY_MADE:
        raise UsageError(f"bad strategy {strategy!r}", hint=f"use one of {', '.join(READY_MADE)}")
    ready = READY_MADE[strategy]
    chosen = plan_steps_of(steps, seconds=ready.steps[0].seconds) if steps else ready.steps
    outcomes = tuple(outcome_gate_of(each) for each in gates if each.startswith("outcome:")) or ready.gates.outcomes
    predictions = tuple(prediction_gate_of(each, tuple(reference)) for each in gates if is_prediction_gate(each))
    others = [text for text in gates if not text.startswith("outcome:") and not is_prediction_gate(text)]
    named = {each.measure: each for each in map(gate_of, others)}
    kept = tuple(named.pop(each.measure, each) for each in ready.gates.gates)
    needed = sum(step.seconds for step in chosen)
    return replace(
        ready,
        steps=chosen,
        gates=replace(ready.gates, gates=(*kept, *named.values()), outcomes=outcomes, predictions=predictions),
        waves=tuple(_regions(part) for part in waves.split(";") if part.strip()),
        standby=_regions(standby) if standby.strip() else (),
        key=RequestKey.parse(key),
        bake_seconds=ready.bake_seconds if bake_seconds is None else bake_seconds,
        deadline_seconds=max(ready.deadline_seconds, 2 * needed) if deadline_seconds is None else deadline_seconds,
        switch_at_us=switch_at_us,
    )


def _regions(text: str) -> tuple[str, ...]:
    return tuple(check_region(name.strip()) for name in text.split(","))
