"""A bandit's batches: when one ends, what came in it, and the share that follows. Pure."""

from dataclasses import replace

from modelcast.agents.rollout.decider.facts import ControllerState, Moment
from modelcast.agents.rollout.decider.gathering import Gathered, outcomes_of
from modelcast.schemas.evidence.bandit import BATCHES_MAX, BanditBatch, candidate_share
from modelcast.schemas.evidence.kinds import Kind
from modelcast.schemas.evidence.outcomes import OutcomeTotals
from modelcast.schemas.evidence.replay import Evidence
from modelcast.schemas.evidence.verdict import Verdict
from modelcast.schemas.log.rollouts import LoggedRollout
from modelcast.schemas.traffic.grant import RolloutPhase
from modelcast.schemas.traffic.steps_and_gates import RolloutPlan, Strategy


def evidence_of(gathered: Gathered, plan: RolloutPlan) -> Evidence:
    """All that a verdict of this rollout is based on."""
    floor = plan.floor if plan.strategy is Strategy.BANDIT else 0
    return Evidence(
        plan.gates, tuple(gathered.rows), outcomes_of(gathered), gathered.predictions, gathered.batches, floor
    )


def bandit_share(gathered: Gathered | None, plan: RolloutPlan) -> int:
    """The candidate's share by the batches so far, in ten-thousandths."""
    batches = gathered.batches if gathered is not None else ()
    higher = plan.gates.outcomes[0].higher_is_better
    return candidate_share(batches, plan.floor, higher_is_better=higher)


def with_batch(
    state: ControllerState, rollout: LoggedRollout, found: Verdict, now: Moment, *, blind: bool
) -> ControllerState:
    """The state once a batch is over: what came since the one before is weighed.

    A batch lasts as long as the plan's step. None ends while a region is not heard of or the rollout is held.
    """
    plan, gathered = rollout.plan, state.gathered
    if plan.strategy is not Strategy.BANDIT or gathered is None or not state.step_in_force:
        return state
    since = max(state.batch_since, state.in_force_since)
    over = now.seconds - since >= plan.steps[0].seconds
    if not over or blind or rollout.phase is not RolloutPhase.RUNNING or len(gathered.batches) >= BATCHES_MAX:
        return state
    name = plan.gates.outcomes[0].name
    totals = gathered.outcomes.get(name, OutcomeTotals(name))
    control, candidate = totals.control, totals.candidate
    for batch in gathered.batches:
        control, candidate = control.less(batch.control), candidate.less(batch.candidate)
    proved = all(gate.kind is Kind.HARMLESS for gate in found.gates)
    batch = BanditBatch(control, candidate, proved)
    return replace(state, gathered=replace(gathered, batches=(*gathered.batches, batch)), batch_since=now.seconds)


def batch_text(state: ControllerState, plan: RolloutPlan) -> str:
    """How the last batch left the shares, for people."""
    assert state.gathered is not None
    batches = state.gathered.batches
    share = bandit_share(state.gathered, plan)
    if not any(batch.proved for batch in batches):
        return f"{share / 100:g} % until it is proved harmless; batch {len(batches) + 1}"
    last = batches[-1]
    counts = f"{last.candidate.count} outcomes against {last.control.count}"
    return f"{share / 100:g} % after batch {len(batches)}, which brought {counts}"
