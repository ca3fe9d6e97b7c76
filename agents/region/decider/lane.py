"""What makes a replica one of a candidate: a version that pods load beside what serves, while a rollout runs. Pure.

A region has a second replica of the model then, driven by the same ``step``. It aspires to what the log grants, orders
pods in their candidate lane, and lets go of the candidate when the rollout is over. What serves is not its business:
where its bytes are damaged or load nowhere, it says so, and nothing else happens.
"""

from dataclasses import replace

from modelcast.agents.region.decider.events_and_effects import Unload, Unloaded
from modelcast.agents.region.decider.knowledge import NEVER, Facts, PodView
from modelcast.agents.region.decider.replica import Replica
from modelcast.consumers.pod_clients.port import PodReading
from modelcast.schemas.log.fold import Aspiration, ModelLog
from modelcast.schemas.traffic.grant import RolloutPhase, TrafficGrant


def with_log(facts: Facts, log: ModelLog, now: float) -> Facts:
    """The facts with what ``log`` asks of their lane."""
    region = facts.saved.region
    general = log.aspiration(region)
    if not facts.lane:
        return replace(facts, aspiration=general)
    grant = log.grant(region)
    return replace(
        facts,
        aspiration=_of_candidate(log, general, grant),
        beside_aspired=general.manifest_digest,
        bake_ends_at=_bake_ends_at(facts, grant, now),
    )


def _of_candidate(log: ModelLog, general: Aspiration, grant: TrafficGrant | None) -> Aspiration:
    """What the log's grant wants to be kept loaded beside what serves: the candidate, after a promotion the way back.

    Its generation is never below that of what serves: an order that promotes it, or takes it back, leaves that number
    in its lane. A reload reloads it, too: what pods have in memory is not trusted.
    """
    update = grant.candidate if grant is not None and grant.keeps_candidate else None
    if update is not None and update.version in general.quarantined:
        update = None
    return Aspiration(
        log.model,
        general.region,
        max(grant.generation if grant is not None else log.head, general.generation),
        update,
        reload_generation=general.reload_generation,
        released=general.released,
        quarantined=general.quarantined,
    )


def _bake_ends_at(facts: Facts, grant: TrafficGrant | None, now: float) -> float:
    """When the way back is given up that a promotion has left loaded; ``inf``: there is none.

    Its time begins when the promotion is first read here, and anew for who takes over: it never ends too early.
    """
    if grant is None or grant.phase is not RolloutPhase.PROMOTED:
        return float("inf")
    if not facts.saved.accepted_generation:  # whoever held it gave it up, or nobody ever did
        return NEVER
    known = facts.aspiration is not None and facts.aspiration.generation >= grant.generation
    return facts.bake_ends_at if known and facts.bake_ends_at < float("inf") else now + grant.plan.bake_seconds


def baked(replica: Replica, now: float) -> Replica:
    """The replica without the way back, once its time is over."""
    facts = replica.facts
    if now < facts.bake_ends_at or facts.aspiration is None or facts.aspiration.update is None:
        return replica
    return replace(replica, facts=replace(facts, aspiration=replace(facts.aspiration, update=None)))


def stands_beside(replica: Replica, reading: PodReading) -> bool:
    """Whether the pod serves another digest: never is a candidate loaded where nothing else serves.

    Where a promotion was obeyed already, or not yet, the same digest would be loaded twice.
    """
    return replica.facts.beside.get(reading.pod, replica.digest) != replica.digest


def is_over(replica: Replica) -> bool:
    """Whether no pod holds a candidate, and none is wanted: nothing is left of the rollout here."""
    facts = replica.facts
    if facts.aspiration is None or facts.aspiration.update is not None or facts.contradiction or not facts.pods_known:
        return False
    return not facts.fleets_unknown and not replica.pending.fetching and all(map(_is_empty, replica.pods.values()))


def _is_empty(view: PodView) -> bool:
    """Whether the pod holds no candidate, and no order of ours that is on its way still can bring one."""
    reading = view.reading
    free = not view.loading and not view.unloading and not view.owes_unload
    return reading is not None and reading.version is None and free


def plan_unloads(replica: Replica, now: float) -> tuple[Replica, list[Unload]]:
    """Have every pod let go that holds a candidate nobody wants, or was ordered one: such an order may be late."""
    facts, effects = replica.facts, list[Unload]()
    if not facts.lane or facts.aspiration is None or replica.pending.holding:
        return replica, effects
    for name, view in replica.pods.items():
        if not _is_due(replica, view, now):
            continue
        if not replica.is_proved(now):
            return replace(replica, pending=replace(replica.pending, suspects_owner=True)), effects
        effects.append(Unload(name, facts.saved.epoch, replica.generation))
    for effect in effects:
        replica = replica.with_pod(effect.pod, replace(replica.view_of(effect.pod), unloading=True))
    return replica, effects


def _is_due(replica: Replica, view: PodView, now: float) -> bool:
    reading, facts = view.reading, replica.facts
    if reading is None or view.loading or view.unloading or now < view.retry_at:
        return False
    if facts.aspiration is not None and facts.aspiration.update is not None and not _is_left_over(replica, reading):
        return False
    if reading.version is None:
        return view.owes_unload
    if reading.manifest_digest == facts.beside_aspired != facts.beside.get(reading.pod):
        return False  # it is about to be promoted, or taken back: that must find it loaded
    return reading.generation is None or reading.generation <= replica.generation  # else the log is read again first


def _is_left_over(replica: Replica, reading: PodReading) -> bool:
    """Whether the pod holds the candidate of before, which no load replaces.

    It serves the one that is wanted now, or the region refuses that one.
    """
    other = reading.version is not None and reading.manifest_digest != replica.digest
    never_loads = replica.is_quarantined(replica.digest)
    return other and (never_loads or replica.facts.beside.get(reading.pod) == replica.digest)


def on_unloaded(replica: Replica, event: Unloaded, now: float) -> Replica:
    """A pod has answered to an ``Unload``; what it holds now is read back."""
    view = replace(replica.view_of(event.pod), unloading=False, read_at=NEVER)
    if not event.code:
        view = replace(view, owes_unload=False, reading=None, failures=0, retry_at=NEVER, error="", code="")
        return replica.with_pod(event.pod, view)
    if event.code in {"stale", "conflict", "superseded"}:
        replica = replace(replica, pending=replace(replica.pending, suspects_owner=True, suspects_log=True))
    failures = view.failures + 1
    retry_at = now + replica.backoff(failures, event.pod)
    failed = replace(view, failures=failures, retry_at=retry_at, error=event.message, code=event.code)
    return replica.with_pod(event.pod, failed)
