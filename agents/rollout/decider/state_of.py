"""How a rollout stands, as its controller reports it."""

from collections.abc import Mapping

from modelcast.agents.rollout.decider.facts import ControllerState, Moment
from modelcast.agents.rollout.decider.outlook import Outlook
from modelcast.schemas.evidence.gates import OutcomeGate
from modelcast.schemas.evidence.outcomes import OutcomeTotals, judge_outcome
from modelcast.schemas.log.rollouts import LoggedRollout
from modelcast.schemas.quantities import duration, number
from modelcast.schemas.traffic.grant import TrafficGrant
from modelcast.schemas.traffic.reports import RolloutGate, RolloutOutcome, RolloutRegion, RolloutState
from modelcast.schemas.traffic.steps_and_gates import Blind


def state_of(
    state: ControllerState,
    rollout: LoggedRollout,
    grants: Mapping[str, TrafficGrant],
    outlook: Outlook | None,
    now: Moment,
) -> RolloutState:
    """The report.

    Args:
        state: what is known.
        rollout: the rollout, also one that is over.
        grants: of the regions that take part.
        outlook: what comes next; None: it is over.
        now: the moment.
    """
    controls = {grant.control.version for grant in grants.values()}
    position = outlook.position if outlook is not None else None
    current = position.current if position is not None else None
    found = outlook.verdict if outlook is not None else None
    evidence = state.gathered.evidence if state.gathered is not None else None
    return RolloutState(
        registry_id=state.log.registry_id if state.log is not None else "",
        model=state.model,
        rollout=rollout.id,
        generation=rollout.generation,
        phase=str(rollout.phase),
        strategy=str(rollout.plan.strategy),
        candidate=rollout.candidate,
        control=controls.pop() if len(controls) == 1 else None,
        updated_at_us=now.wall_us,
        epoch=state.epoch,
        wave=position.wave if position is not None else 0,
        waves=len(position.waves) if position is not None else 0,
        step=position.step if position is not None else 0,
        steps=len(rollout.plan.steps),
        share=current.share if current is not None else 0,
        verdict=str(found.kind) if found is not None else "",
        gates=tuple(
            RolloutGate(
                str(gate.measure),
                str(gate.kind),
                gate.log_e_harmful,
                gate.log_e_harmless,
                gate.needed_harmful,
                gate.needed_harmless,
                gate.control_events,
                gate.candidate_events,
            )
            for gate in (found.gates if found is not None else ())
        ),
        regions=tuple(_region(state, rollout, grants[region], now) for region in sorted(grants)),
        control_requests=evidence.control.requests if evidence is not None else 0,
        candidate_requests=evidence.candidate.requests if evidence is not None else 0,
        blind=bool(outlook is not None and outlook.blind),
        why=outlook.why if outlook is not None else rollout.reason[:1000],
        next=outlook.next if outlook is not None else "",
        if_stopped=_if_stopped(rollout) if outlook is not None else "",
        outcomes=_outcomes(state, rollout),
        outcomes_left_out=_left_out(state),
    )


def _outcomes(state: ControllerState, rollout: LoggedRollout) -> tuple[RolloutOutcome, ...]:
    """Each outcome, with the interval of the difference; those that are no gates, too."""
    if state.gathered is None:
        return ()
    plan, found = rollout.plan.gates, []
    gates = {each.name: each for each in plan.outcomes}
    for name in sorted({*gates, *state.gathered.outcomes}):
        gate = gates.get(name, OutcomeGate(name))
        totals = state.gathered.outcomes.get(name, OutcomeTotals(name))
        alpha = plan.alpha_harmful / plan.tests
        each = judge_outcome(gate, totals, alpha_harmful=alpha, alpha_harmless=plan.alpha_harmless)
        kind = str(each.kind) if name in gates else ""
        found.append(
            RolloutOutcome(
                name,
                kind,
                each.control_count,
                each.candidate_count,
                each.control_mean,
                each.candidate_mean,
                each.low,
                each.high,
            )
        )
    return tuple(found)


def _left_out(state: ControllerState) -> str:
    left_out = state.gathered.left_out if state.gathered is not None else {}
    return "; ".join(f"{number(count)} {why}" for why, count in sorted(left_out.items()))[:500]


def _region(state: ControllerState, rollout: LoggedRollout, grant: TrafficGrant, now: Moment) -> RolloutRegion:
    heard = state.readings.get(grant.region)
    requests = (state.gathered.totals if state.gathered is not None else {}).get(grant.region, (0, 0))
    if heard is None or heard.reading.rollout != rollout.id:
        return RolloutRegion(
            grant.region, rollout.plan.wave_of(grant.region), grant.ceiling, 0, False,
            control_requests=requests[0], candidate_requests=requests[1],
        )  # fmt: skip
    reading = heard.reading
    return RolloutRegion(
        region=grant.region,
        wave=rollout.plan.wave_of(grant.region),
        ceiling=grant.ceiling,
        share=reading.share,
        read_back=state.table is not None and reading.all_in_force(state.table.authority),
        pods_expected=reading.pods_expected,
        candidate_ready=reading.candidate_ready,
        control_requests=requests[0],
        candidate_requests=requests[1],
        heard_at_us=max(0, now.wall_us - int((now.seconds - heard.true_at) * 1e6)),
        cut=reading.cut if reading.cut_rollout == rollout.id else "",
    )


def _if_stopped(rollout: LoggedRollout) -> str:
    after = duration(rollout.plan.silence_seconds)
    falls = "fall to nothing" if rollout.plan.blind is Blind.ZERO else "stay as they are"
    return f"shares {falls} {after} later; each region still cuts the candidate off by itself if it harms there"
