"""The rollover of one replica: what is known of its pods becomes facts, and the decision what the replica remembers."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

from modelcast.agents.region.decider.knowledge import NEVER, PodView, Rollover
from modelcast.agents.region.decider.replica import Replica
from modelcast.agents.region.decider.rollover.decide import decide
from modelcast.agents.region.decider.rollover.pod_facts import Decision, Need, PodFacts
from modelcast.agents.region.decider.rollover_policy import RolloverPolicy
from modelcast.consumers.pod_clients.port import LoadOrder, PodReading
from modelcast.schemas.region_memory import Halt

BLAMELESS = frozenset({"stale", "conflict", "superseded", "artifact_missing"})
"""Codes of failures that say nothing about the rollover: whose orders count, or what a cache has lost."""


def next_orders(replica: Replica, wanted: Mapping[str, LoadOrder], now: float) -> tuple[Replica, tuple[str, ...]]:
    """The pods of ``wanted`` that get their orders now, and the replica that knows why the others do not.

    Args:
        replica: as it is before that.
        wanted: what each pod that is not loading should be ordered, by name.
        now: seconds.
    """
    loading = any(v.loading for v in replica.pods.values())
    if not wanted and not loading:  # it is over; who comes later has a deadline of its own
        if replica.attempts.rollover_began_at > NEVER:
            replica = replace(replica, attempts=replace(replica.attempts, rollover_began_at=NEVER))
        return _noted(replica, Rollover()), ()
    if wanted and replica.attempts.rollover_began_at == NEVER:
        replica = replace(replica, attempts=replace(replica.attempts, rollover_began_at=now))
    fleets: dict[str, list[PodFacts]] = defaultdict(list)
    for name, view in replica.pods.items():
        fleets[view.traits.fleet].append(_facts(name, view, view.loading or wanted.get(name), now))
    seed = f"{replica.facts.saved.model}/{replica.generation}"
    decisions = [
        decide(
            facts,
            _policy(replica, fleet),
            now,
            hurried=_is_hurried(replica),
            began_at=replica.attempts.rollover_began_at,
            seed=seed,
        )
        for fleet, facts in sorted(fleets.items())
    ]
    if stops := next((d.stops for d in decisions if d.stops), ""):
        halt = Halt(replica.generation, stops)
        replica = replace(replica, facts=replace(replica.facts, halt=halt))
        return _noted(replica, Rollover()), ()
    return _noted(replica, _remembered(decisions)), tuple(name for d in decisions for name in d.orders)


def _noted(replica: Replica, rollover: Rollover) -> Replica:
    if rollover == replica.pending.rollover:
        return replica
    return replace(replica, pending=replace(replica.pending, rollover=rollover))


def _policy(replica: Replica, fleet: str) -> RolloverPolicy:
    """A fleet's policy; without a stop for orders given after a stop or while no log is obeyed."""
    policy = replica.policy.rollover_of(fleet)
    if not replica.is_halted and replica.facts.contradiction is None:
        return policy
    return replace(policy, stop_after_failures=0, deadline_seconds=0.0)


def _remembered(decisions: list[Decision]) -> Rollover:
    """What holds the fleet that is held for the gravest reason."""
    shown = min((d for d in decisions if d.waits), key=lambda d: not d.blocked, default=Decision())
    asked_at = min((d.ask_again_at for d in decisions), default=float("inf"))
    return Rollover(shown.waits, shown.waits_until, asked_at, shown.blocked)


def _is_hurried(replica: Replica) -> bool:
    """Whether people wait for it: a pin, or a way back to an older version."""
    aspiration, served = replica.facts.aspiration, replica.facts.saved.served
    if aspiration is None:
        return False
    back = aspiration.version is not None and served is not None and aspiration.version < served.version
    return aspiration.pinned or back


def _facts(name: str, view: PodView, order: LoadOrder | None, now: float) -> PodFacts:
    reading = view.reading
    return PodFacts(
        name,
        view.traits.zone,
        need_of(reading, order),
        loading=view.loading is not None,
        lost=view.lost,
        healthy=_takes_traffic(view),
        startable=view.known and not view.reading_now and now >= view.retry_at,
        gapless=reading is None or reading.gapless,
        loads_another=view.loads_another,
        failures=view.failures,
        failure=_failure(view),
        ordered_at=view.ordered_at,
        ended_at=view.ended_at,
    )


def _takes_traffic(view: PodView) -> bool:
    reading = view.reading
    if reading is None or not reading.ready or reading.version is None:
        return False
    return reading.gapless or not view.loads_another  # a gap is one for all models of the pod


def _failure(view: PodView) -> str:
    if not view.failures or view.failure_code in BLAMELESS:
        return ""
    return f"{view.failure_code}: {view.failure}"


def need_of(reading: PodReading | None, order: LoadOrder | None) -> Need:
    """What a pod lacks that should get ``order``; None: nothing."""
    if order is None:
        return Need.NOTHING
    if reading is None or reading.version is None:
        return Need.ANYTHING
    same = (reading.version, reading.manifest_digest) == (order.version, order.manifest_digest)
    return Need.AUTHORITY if same and not order.reload else Need.VERSION
