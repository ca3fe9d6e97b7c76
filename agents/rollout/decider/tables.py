"""The table that a rollout wishes for, by what the log grants."""

from collections.abc import Mapping
from dataclasses import replace

from modelcast.agents.rollout.decider.batches import bandit_share
from modelcast.agents.rollout.decider.facts import ControllerState
from modelcast.schemas.evidence.counts import SHARES
from modelcast.schemas.evidence.gates import Measure
from modelcast.schemas.log.rollouts import LoggedRollout
from modelcast.schemas.traffic.differences import quantile_us
from modelcast.schemas.traffic.grant import RolloutPhase, TrafficGrant
from modelcast.schemas.traffic.steps_and_gates import Strategy
from modelcast.schemas.traffic.table import SlowThresholds, TrafficArm, TrafficTable

SLOW_PART = 0.99


def wished_table(
    state: ControllerState,
    rollout: LoggedRollout,
    grants: Mapping[str, TrafficGrant],
    *,
    stops: bool,
    now_us: int,
) -> TrafficTable:
    """The table of an active rollout in which some region takes part.

    Args:
        state: what is known.
        rollout: the rollout.
        grants: of the regions that take part.
        stops: the candidate gets nothing, whatever is granted.
        now_us: UTC microseconds; a switch that lies ahead keeps the shares before it until then.
    """
    first = grants[min(grants)]
    share = 0 if stops else max(grant.ceiling for grant in grants.values())
    if rollout.plan.strategy is Strategy.BANDIT:
        share = min(share, bandit_share(state.gathered, rollout.plan))
    now_share = _share_at(state.table, rollout, now_us)
    if rollout.phase is RolloutPhase.HELD:  # what it was granted, and has not taken yet, waits until it is resumed
        share = min(share, now_share)
    before: tuple[TrafficArm, ...] = ()
    not_before_us = rollout.not_before_us
    if not_before_us > now_us and share > now_share:
        before = _arms(first, now_share)
    digest = first.candidate.artifact.manifest_digest
    shadow = TrafficArm(rollout.candidate, digest, SHARES) if rollout.plan.strategy is Strategy.SHADOW else None
    *candidates, control = _arms(first, share)
    return TrafficTable(
        model=first.model,
        registry_id=first.registry_id,
        rollout=rollout.id,
        generation=rollout.generation,
        epoch=state.epoch,
        sequence=_next_sequence(state),
        salt=rollout.salt,
        key=rollout.plan.key,
        control=control,
        candidates=tuple(candidates),
        not_before_us=not_before_us if before else 0,
        before=before,
        shadow=None if stops else shadow,
        thresholds=_thresholds(state, rollout, control.manifest_digest),
    )


def _share_at(table: TrafficTable | None, rollout: LoggedRollout, now_us: int) -> int:
    """The candidate's share that pods have now; what lies ahead in a table counts once its time has come."""
    if table is None or table.rollout != rollout.id:
        return 0
    return SHARES - table.arms_at(now_us)[-1].share


def is_wished(table: TrafficTable | None, wished: TrafficTable) -> bool:
    """Whether a table is of this controller and says what is wished for; when it is to be in force was said once."""
    if table is None:
        return False
    return replace(table, sequence=0, not_before_us=0, before=()) == replace(
        wished, sequence=0, not_before_us=0, before=()
    )


def closing_table(
    state: ControllerState, rollout: LoggedRollout, grants: Mapping[str, TrafficGrant]
) -> TrafficTable | None:
    """The table of a rollout that is over: its candidate gets nothing. None: nothing is to be put."""
    table = state.table
    if table is None or table.rollout != rollout.id or (table.generation == rollout.generation and not table.share):
        return None
    control = replace(table.control, share=SHARES)
    if grants:
        first = grants[min(grants)].control
        control = TrafficArm(first.version, first.artifact.manifest_digest, SHARES)
    candidates = tuple(replace(arm, share=0) for arm in table.candidates if arm.version != control.version)
    return replace(
        table,
        generation=rollout.generation,
        epoch=state.epoch,
        sequence=_next_sequence(state),
        control=control,
        candidates=candidates,
        not_before_us=0,
        before=(),
        shadow=None,
    )


def _next_sequence(state: ControllerState) -> int:
    table = state.table
    return table.sequence + 1 if table is not None and table.epoch == state.epoch else 1


def _arms(grant: TrafficGrant, share: int) -> tuple[TrafficArm, ...]:
    control, candidate = grant.control, grant.candidate
    return (
        TrafficArm(candidate.version, candidate.artifact.manifest_digest, share),
        TrafficArm(control.version, control.artifact.manifest_digest, SHARES - share),
    )


def _thresholds(state: ControllerState, rollout: LoggedRollout, control_digest: str) -> SlowThresholds:
    """What counts as slow: looked up once for each entry, so that one step is counted by one measure."""
    table = state.table
    if table is not None and table.rollout == rollout.id and table.generation == rollout.generation:
        return table.thresholds
    gate = next((gate for gate in rollout.plan.gates.gates if gate.measure is Measure.LATENCY), None)
    latencies = [
        version.latency
        for counts in state.counts.values()
        for version in counts.versions
        if version.manifest_digest == control_digest
    ]
    slow_us = quantile_us(latencies, SLOW_PART)
    if gate is None or not slow_us:
        known = table is not None and table.rollout == rollout.id
        return table.thresholds if table is not None and known else SlowThresholds()
    return SlowThresholds(slow_us, round(slow_us * gate.harmful), round(slow_us * gate.harmless))
