"""One model's rollout in one region: what pods divide their requests by, and what is told of it.

Level-triggered, as the replica's decider is: effects follow from comparing what is wished with what was read back.
Shares rise by a newer table of the controller's alone, inside what the log grants; they fall here at once.
"""

from collections.abc import Iterable
from dataclasses import replace

from modelcast.agents.region.traffic.decider.absorb_traffic import absorb_traffic, counts_of
from modelcast.agents.region.traffic.decider.knowledge import (
    GiveTable,
    Instant,
    LookAtTable,
    PodCounted,
    PodShares,
    PodSilent,
    ProveOwner,
    ReadCounts,
    ReadLog,
    RegionTraffic,
    SaveCut,
    SendCounts,
    SendReading,
    TableNotTaken,
    TableTaken,
    TrafficEffect,
    TrafficEvent,
)
from modelcast.agents.region.traffic.decider.shares import in_force, reading_of, sends_any, silent_at, table_for_pods
from modelcast.consumers.pod_clients.port import PodTraffic
from modelcast.schemas.traffic.reports import TrafficReading
from modelcast.schemas.traffic.table import TrafficTable, table_digest

REPORT_SECONDS_MIN = 0.02


def step_traffic(
    traffic: RegionTraffic, event: TrafficEvent, now: Instant
) -> tuple[RegionTraffic, tuple[TrafficEffect, ...]]:
    """Take in ``event`` at ``now`` and decide what to do. Pure and total."""
    after = absorb_traffic(traffic, event, now)
    before, wished = table_for_pods(traffic), table_for_pods(after)
    one = isinstance(event, PodCounted | PodSilent | TableTaken | TableNotTaken) and wished == before
    names: Iterable[str] = [event.pod] if one else list(after.pods)  # type: ignore[union-attr]
    effects: list[TrafficEffect] = []
    after, more = _plan_pods(after, names, wished, now)
    effects += more
    for decide in (_plan_cut, _plan_look, _plan_report):
        after, more = decide(after, now)
        effects += more
    return after, tuple(effects)


def wakes_at(traffic: RegionTraffic, now: Instant) -> float:
    """When ``TimePassed`` is due next."""
    look = traffic.pace.look if traffic.look_again else traffic.pace.table
    times = [traffic.prove_at, traffic.looked_at + look, traffic.said_at + traffic.pace.repeat, silent_at(traffic)]
    times.append(traffic.said_at + REPORT_SECONDS_MIN)
    if traffic.cut != traffic.saved_cut:
        times.append(traffic.save_cut_at)
    for view in traffic.pods.values():
        times += [view.asked_at + _pause(traffic), view.retry_at]
    return min((at for at in times if at > now.seconds), default=float("inf"))


def is_quiet(traffic: RegionTraffic, now: Instant) -> bool:
    """Whether no candidate meets traffic here, every pod that answers was read back so, and that was reported."""
    grant, wished = traffic.grant, table_for_pods(traffic)
    if (grant is not None and grant.serves_candidate) or not traffic.seen or traffic.ahead is not None:
        return False
    if not _is_said(traffic, reading_of(traffic, now)):
        return False
    digest = table_digest(wished) if wished is not None else ""
    return wished is None or all(
        _has_none(view) or in_force(view, digest) for view in traffic.pods.values() if view.reading
    )


def _has_none(view: PodShares) -> bool:
    return view.reading is not None and view.reading.authority == (0, 0, 0)


def _plan_pods(
    traffic: RegionTraffic, names: Iterable[str], wished: TrafficTable | None, now: Instant
) -> tuple[RegionTraffic, list[TrafficEffect]]:
    digest, pause = table_digest(wished) if wished is not None else "", _pause(traffic)
    sure = wished is None or not sends_any(wished) or now.seconds <= traffic.proved_at + traffic.pace.proof
    effects: list[TrafficEffect] = []
    changed: dict[str, PodShares] = {}
    unsure = False
    for name in names:
        view = before = traffic.pods.get(name)
        if view is None or before is None:
            continue
        if wished is not None and _wants(view, wished, digest, now):
            unsure = unsure or not sure
            if sure:
                view = replace(view, giving=wished)
                effects.append(GiveTable(name, wished))
        if not view.asking and now.seconds >= view.asked_at + pause:
            view = replace(view, asking=True, asked_at=now.seconds)
            effects.append(ReadCounts(name))
        if (sends := _report_of(traffic, view, now)) is not None:
            view = replace(view, sent=sends.counts, sent_at=now.seconds)
            effects.append(sends)
        if view is not before:
            changed[name] = view
    if changed:
        traffic = replace(traffic, pods={**traffic.pods, **changed})
    if unsure and not traffic.proving and now.seconds >= traffic.prove_at:
        prove_at = now.seconds + traffic.pace.retry_first
        traffic, effects = replace(traffic, proving=True, prove_at=prove_at), [*effects, ProveOwner()]
    return traffic, effects


def _wants(view: PodShares, wished: TrafficTable, digest: str, now: Instant) -> bool:
    """Whether the pod gets the table now.

    One that was not read is given nothing: it may have a newer one. What it has by the same authority is only lowered:
    a grant that has grown since the table was made is for the table that the controller makes of it.
    """
    reading = view.reading
    if reading is None or in_force(view, digest) or reading.authority > wished.authority:
        return False
    if reading.authority == wished.authority and sends_any(wished) and not _has_more(reading, wished):
        return False
    return view.giving is None and now.seconds >= view.retry_at


def _has_more(reading: PodTraffic, wished: TrafficTable) -> bool:
    return any(reading.shares.get(arm.version, 0) > arm.share for arm in wished.candidates)


def _report_of(traffic: RegionTraffic, view: PodShares, now: Instant) -> SendCounts | None:
    reading, sent = view.reading, view.sent
    if reading is None or traffic.grant is None or not traffic.grant.keeps_candidate:
        return None
    if sent is not None and sent.incarnation == reading.incarnation and reading.sequence <= sent.sequence:
        return None
    counts = counts_of(traffic, reading, now.wall_us)
    same = sent is not None and replace(sent, sequence=0, counted_at_us=0) == replace(
        counts, sequence=0, counted_at_us=0
    )
    return None if same and now.seconds < view.sent_at + traffic.pace.repeat else SendCounts(counts)


def _plan_cut(traffic: RegionTraffic, now: Instant) -> tuple[RegionTraffic, list[TrafficEffect]]:
    if traffic.cut == traffic.saved_cut or traffic.saving_cut or now.seconds < traffic.save_cut_at:
        return traffic, []
    return replace(traffic, saving_cut=True), [SaveCut(traffic.cut)]


def _plan_look(traffic: RegionTraffic, now: Instant) -> tuple[RegionTraffic, list[TrafficEffect]]:
    effects: list[TrafficEffect] = []
    due = now.seconds >= traffic.looked_at + (traffic.pace.look if traffic.look_again else traffic.pace.table)
    ahead = traffic.ahead.authority if traffic.ahead is not None else None
    if ahead is not None and (due or ahead != traffic.log_asked_for):
        traffic = replace(traffic, log_asked_for=ahead)
        effects.append(ReadLog())
    if traffic.looking or not due:
        return traffic, effects
    return replace(traffic, looking=True, look_again=False, looked_at=now.seconds), [*effects, LookAtTable()]


def _plan_report(traffic: RegionTraffic, now: Instant) -> tuple[RegionTraffic, list[TrafficEffect]]:
    """What has changed goes soon, what has not from time to time."""
    if now.seconds < traffic.said_at + REPORT_SECONDS_MIN:
        return traffic, []
    reading = reading_of(traffic, now)
    if _is_said(traffic, reading) and now.seconds < traffic.said_at + traffic.pace.repeat:
        return traffic, []
    reading = replace(reading, sequence=traffic.sequence + 1)
    return replace(traffic, said=reading, said_at=now.seconds, sequence=reading.sequence), [SendReading(reading)]


def _is_said(traffic: RegionTraffic, reading: TrafficReading) -> bool:
    said = traffic.said
    return said is not None and replace(reading, sequence=0, reported_at_us=0) == replace(
        said, sequence=0, reported_at_us=0
    )


def _pause(traffic: RegionTraffic) -> float:
    """Seconds between two readings of a pod."""
    grant, pace = traffic.grant, traffic.pace
    if grant is None or not grant.serves_candidate:
        return pace.idle
    answers = traffic.guard.state.candidate.requests if traffic.guard is not None else 0
    return pace.early if answers < pace.early_answers else pace.poll
