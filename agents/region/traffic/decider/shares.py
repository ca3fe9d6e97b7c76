"""Which table the pods should have in force, and what was read back of it. Pure."""

from dataclasses import replace

from modelcast.agents.region.traffic.decider.knowledge import Instant, PodShares, RegionTraffic
from modelcast.schemas.evidence.counts import SHARES
from modelcast.schemas.region_memory import Cut
from modelcast.schemas.traffic.grant import RolloutPhase, TrafficGrant
from modelcast.schemas.traffic.reports import TrafficReading
from modelcast.schemas.traffic.steps_and_gates import Blind
from modelcast.schemas.traffic.table import TrafficTable, clamp, table_digest


def table_for_pods(traffic: RegionTraffic) -> TrafficTable | None:
    """The table for every pod; None: pods keep what they have.

    Never more than the log grants, and nothing once the candidate was cut off, or the controller silent for too long.
    Once it is promoted the pods' orders say what serves, and void the table.
    """
    table, grant = traffic.table, traffic.grant
    if table is None or (grant is not None and grant.phase is RolloutPhase.PROMOTED):
        return None
    allowed = traffic.allowed if traffic.allowed is not None else table
    if (
        not may_serve(traffic)
        or is_cut(traffic)
        or (traffic.lowered is not None and table.authority <= traffic.lowered)
    ):
        return without_candidates(allowed)
    return allowed


def may_serve(traffic: RegionTraffic) -> bool:
    """Whether the log lets the table's candidate meet requests here, be it copies of them."""
    table, grant = traffic.table, traffic.grant
    if table is None or grant is None or grant.rollout != table.rollout:
        return False
    return grant.serves_candidate or grant.copies_to_candidate


def with_allowed(traffic: RegionTraffic) -> RegionTraffic:
    """The traffic that knows what of its table the log allows, or allowed last: by that, pods are told to stop."""
    table, allowed = traffic.table, traffic.allowed
    if table is None:
        return traffic
    if may_serve(traffic):
        return replace(traffic, allowed=clamp(table, traffic.grant))
    return traffic if allowed is None or allowed.authority == table.authority else replace(traffic, allowed=None)


def without_candidates(table: TrafficTable) -> TrafficTable:
    """The same table, by which the control answers everything and nothing is copied."""
    none = tuple(replace(arm, share=0) for arm in table.candidates)
    return replace(
        table, control=replace(table.control, share=SHARES), candidates=none, before=(), not_before_us=0, shadow=None
    )


def sends_any(table: TrafficTable) -> bool:
    """Whether a candidate gets requests by it, now or later, or copies of them."""
    arms = (*table.candidates, *table.before[:-1])
    return any(arm.share for arm in arms) or (table.shadow is not None and table.shadow.share > 0)


def is_cut(traffic: RegionTraffic) -> bool:
    """Whether the candidate was cut off here."""
    cut, grant = traffic.cut, traffic.grant
    return cut is not None and grant is not None and cut.rollout == grant.rollout


def ends_cut(cut: Cut, grant: TrafficGrant) -> bool:
    """Whether the log has a newer word than the cut: another rollout, or that this one was resumed after it.

    A further step is none: who wrote it need not have known.
    """
    if cut.rollout != grant.rollout:
        return grant.generation > cut.generation
    resumed = grant.phase is RolloutPhase.RUNNING and grant.since_us != cut.since_us
    return resumed and grant.generation > cut.generation


def is_silent(traffic: RegionTraffic, now: Instant) -> bool:
    """Whether nothing was heard of the controller for too long while the candidate meets traffic."""
    grant = traffic.grant
    return grant is not None and grant.serves_candidate and now.seconds >= silent_at(traffic)


def silent_at(traffic: RegionTraffic) -> float:
    """When the controller has been silent for too long."""
    return traffic.heard_at + (traffic.grant.plan.silence_seconds if traffic.grant is not None else 0.0)


def falls_when_blind(traffic: RegionTraffic) -> bool:
    """Whether the plan wants the control to answer everything then."""
    return traffic.grant is not None and traffic.grant.plan.blind is Blind.ZERO


def in_force(view: PodShares, digest: str) -> bool:
    """Whether the pod was read back with just the table of this digest."""
    return view.reading is not None and view.reading.table_digest == digest


def reading_of(traffic: RegionTraffic, now: Instant) -> TrafficReading:
    """What is told to the controller, but for its number."""
    grant, wished = traffic.grant, table_for_pods(traffic)
    share = max((arm.share for arm in (*wished.candidates, *wished.before[:-1])), default=0) if wished else 0
    generation, epoch, sequence = wished.authority if wished else (0, 0, 0)
    digest = table_digest(wished) if wished else ""
    return TrafficReading(
        registry_id=traffic.registry_id,
        model=traffic.model,
        region=traffic.region,
        worker=traffic.worker,
        epoch=traffic.epoch,
        sequence=traffic.sequence,
        rollout=grant.rollout if grant is not None else "",
        generation=grant.generation if grant is not None else 0,
        reported_at_us=now.wall_us,
        pods_expected=len(traffic.pods) + traffic.fleets_unknown,
        control_ready=_ready(traffic, grant.control.artifact.manifest_digest) if grant is not None else 0,
        candidate_ready=_ready(traffic, grant.candidate.artifact.manifest_digest) if grant is not None else 0,
        pods_in_force=sum(in_force(view, digest) for view in traffic.pods.values()) if wished else 0,
        table_generation=generation,
        table_epoch=epoch,
        table_sequence=sequence,
        share=share,
        cut=traffic.cut.reason if traffic.cut is not None and is_cut(traffic) else "",
        cut_rollout=traffic.cut.rollout if traffic.cut is not None and is_cut(traffic) else "",
        error=_error(traffic, now),
    )


def _ready(traffic: RegionTraffic, digest: str) -> int:
    readings = (view.reading for view in traffic.pods.values())
    return sum(any(v.ready and v.manifest_digest == digest for v in r.versions) for r in readings if r is not None)


def _error(traffic: RegionTraffic, now: Instant) -> str:
    silent = "nothing was heard of the controller for too long" if is_silent(traffic, now) else ""
    troubles = sorted(f"{name}: {view.error}" for name, view in traffic.pods.items() if view.error)
    return "; ".join(filter(None, (traffic.candidate_error, silent, *troubles[:1])))[:500]
