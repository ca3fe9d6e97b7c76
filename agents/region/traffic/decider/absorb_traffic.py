"""Taking in: how an event changes what is known of a rollout's traffic. What no longer matters changes nothing."""

from dataclasses import replace

from modelcast.agents.region.guard.judge import GuardEvidence
from modelcast.agents.region.traffic.decider.knowledge import (
    NEVER,
    CandidateTrouble,
    ControllerHeard,
    CutSaved,
    CutUnsaved,
    GrantRead,
    Instant,
    OwnerProved,
    PodCounted,
    PodShares,
    PodSilent,
    PodsListed,
    RegionTraffic,
    TableNotTaken,
    TableSeen,
    TableTaken,
    TableUnseen,
    TimePassed,
    TrafficEvent,
)
from modelcast.agents.region.traffic.decider.shares import ends_cut, falls_when_blind, is_cut, is_silent, with_allowed
from modelcast.consumers.pod_clients.port import PodTraffic
from modelcast.schemas.backoff import backoff_seconds
from modelcast.schemas.region_memory import Cut
from modelcast.schemas.traffic.reports import PodCounts

REASON_CHARS_MAX = 300


def absorb_traffic(traffic: RegionTraffic, event: TrafficEvent, now: Instant) -> RegionTraffic:
    """What is known after ``event``."""
    return _concluded(_taken_in(traffic, event, now), now)


def _taken_in(traffic: RegionTraffic, event: TrafficEvent, now: Instant) -> RegionTraffic:
    match event:
        case GrantRead():
            return _on_grant(traffic, event, now)
        case TableSeen():
            return _on_table(replace(traffic, looking=False, seen=True), event, now)
        case TableUnseen():
            return replace(traffic, looking=False)
        case ControllerHeard():
            return replace(traffic, look_again=True, heard_at=now.seconds)
        case PodsListed():
            return _on_pods(traffic, event)
        case PodCounted(pod, reading):
            return _on_counted(traffic, pod, reading, now)
        case PodSilent(pod, message):
            return _with(traffic, pod, reading=None, asking=False, overtaken=False, error=message)
        case TableTaken(pod, _):
            view = traffic.pods.get(pod, PodShares())
            due = {"asked_at": NEVER, "overtaken": view.asking, "failures": 0, "retry_at": NEVER, "error": ""}
            return _with(traffic, pod, giving=None, **due)
        case TableNotTaken():
            return _on_not_taken(traffic, event, now)
        case CutSaved(cut):
            return replace(traffic, saving_cut=False, saved_cut=cut)
        case CutUnsaved():
            return replace(traffic, saving_cut=False, save_cut_at=now.seconds + traffic.pace.retry_first)
        case CandidateTrouble(error):
            return replace(traffic, candidate_error=error[:REASON_CHARS_MAX])
        case OwnerProved(at):
            return replace(traffic, proving=False, proved_at=max(traffic.proved_at, at))
        case TimePassed():
            return traffic


def _concluded(traffic: RegionTraffic, now: Instant) -> RegionTraffic:
    """What follows at once: harm that was shown, and a silence that lasts too long."""
    traffic = with_allowed(traffic)
    grant = traffic.grant
    if grant is not None and traffic.guard is not None and not is_cut(traffic) and (harm := traffic.guard.harm):
        digest = grant.candidate.artifact.manifest_digest
        cut = Cut(grant.rollout, grant.generation, grant.since_us, digest, harm[:REASON_CHARS_MAX], now.wall_us)
        traffic = replace(traffic, cut=cut, save_cut_at=NEVER)
    return _lowered(traffic) if falls_when_blind(traffic) and is_silent(traffic, now) else traffic


def _lowered(traffic: RegionTraffic) -> RegionTraffic:
    """The table in force, and those before it, send nothing to a candidate any more."""
    table = traffic.table
    if table is None:
        return traffic
    return replace(traffic, lowered=max(traffic.lowered or table.authority, table.authority))


# --- log and table --------------------------------------------------------------------------------------------


def _on_grant(traffic: RegionTraffic, event: GrantRead, now: Instant) -> RegionTraffic:
    old, grant = traffic.grant, event.grant
    traffic = replace(traffic, grant=grant, epoch=event.epoch, head=event.head)
    if grant is None or not grant.serves_candidate:
        traffic = replace(traffic, guard=None)
    elif old is None or traffic.guard is None or old.rollout != grant.rollout or old.control != grant.control:
        traffic = replace(traffic, guard=_evidence(traffic))
    if grant is not None and traffic.cut is not None and ends_cut(traffic.cut, grant):
        traffic = replace(traffic, cut=None, save_cut_at=NEVER, guard=_evidence(traffic) if traffic.guard else None)
        traffic = _lowered(traffic)  # pods have nothing by just this authority, and take no more by the same
    if grant is None or old is None or grant.entry_generation > old.entry_generation:
        traffic = replace(traffic, heard_at=now.seconds, look_again=True)
    elif grant.generation > old.generation:
        traffic = replace(traffic, look_again=True)
    return _usable(traffic)


def _evidence(traffic: RegionTraffic) -> GuardEvidence | None:
    grant = traffic.grant
    if grant is None:
        return None
    control, candidate = grant.control.artifact.manifest_digest, grant.candidate.artifact.manifest_digest
    fresh = GuardEvidence.of(grant.plan.gates, control, candidate)
    last = {name: counts_of(traffic, view.reading, 0) for name, view in traffic.pods.items() if view.reading}
    return replace(fresh, last=last)


def _on_table(traffic: RegionTraffic, event: TableSeen, now: Instant) -> RegionTraffic:
    table = event.table
    if table is None or table.model != traffic.model or table.registry_id != traffic.registry_id:
        return traffic
    if traffic.table is not None and table.authority <= traffic.table.authority:
        return traffic
    if table == traffic.ahead:
        return traffic
    return _usable(replace(traffic, ahead=table, heard_at=now.seconds))


def _usable(traffic: RegionTraffic) -> RegionTraffic:
    """The table of which the log is known far enough: what a longer log grants could not be given to pods later.

    Where the log grants nothing any more, as of a region that was paused, a table that pods have is still to be zeroed.
    """
    ahead, grant = traffic.ahead, traffic.grant
    if ahead is None or ahead.generation > (grant.generation if grant is not None else traffic.head):
        return traffic
    return replace(traffic, table=ahead, ahead=None)


# --- pods -----------------------------------------------------------------------------------------------------


def _on_pods(traffic: RegionTraffic, event: PodsListed) -> RegionTraffic:
    old = {name: view for name, view in traffic.pods.items() if name not in event.replaced}
    pods = {name: old.get(name, PodShares()) for name in event.names}
    guard = traffic.guard.only(frozenset(old) & frozenset(event.names)) if traffic.guard is not None else None
    return replace(traffic, pods=pods, guard=guard, fleets_unknown=event.fleets_unknown)


def _on_counted(traffic: RegionTraffic, pod: str, reading: PodTraffic, now: Instant) -> RegionTraffic:
    view = traffic.pods.get(pod)
    if view is None:
        return traffic
    asked_at = NEVER if view.overtaken else view.asked_at
    error = view.error if view.failures else ""
    traffic = _with(traffic, pod, reading=reading, asking=False, overtaken=False, asked_at=asked_at, error=error)
    if traffic.guard is not None:
        guard = traffic.guard.counted(counts_of(traffic, reading, now.wall_us))
        traffic = replace(traffic, guard=guard)
    if traffic.table is not None and reading.authority > traffic.table.authority:
        traffic = replace(traffic, look_again=True)  # another worker has given it a newer one
    return traffic


def _on_not_taken(traffic: RegionTraffic, event: TableNotTaken, now: Instant) -> RegionTraffic:
    view = traffic.pods.get(event.pod)
    if view is None:
        return traffic
    failures, pace = view.failures + 1, traffic.pace
    traffic = _with(
        traffic, event.pod, giving=None, failures=failures, error=event.message, asked_at=NEVER,
        retry_at=now.seconds + backoff_seconds(pace.retry_first, failures, pace.retry_max),
    )  # fmt: skip
    if event.code == "conflict":  # it was given less by just this authority, which is never raised again
        lowered = max(traffic.lowered or event.table.authority, event.table.authority)
        traffic = replace(traffic, lowered=lowered)
    return replace(traffic, look_again=True) if event.code == "stale" else traffic


def counts_of(traffic: RegionTraffic, reading: PodTraffic, now_us: int) -> PodCounts:
    """A pod's counts as they are told to the controller."""
    generation, epoch, sequence = reading.authority
    return PodCounts(
        registry_id=traffic.registry_id,
        model=traffic.model,
        region=traffic.region,
        pod=reading.pod,
        incarnation=reading.incarnation,
        started_at_us=reading.started_at_us,
        sequence=reading.sequence,
        counted_at_us=now_us,
        table_generation=generation,
        table_epoch=epoch,
        table_sequence=sequence,
        versions=reading.versions,
    )


def _with(traffic: RegionTraffic, pod: str, **changes: object) -> RegionTraffic:
    view = traffic.pods.get(pod)
    if view is None:
        return traffic
    return replace(traffic, pods={**traffic.pods, pod: replace(view, **changes)})  # type: ignore[arg-type]
