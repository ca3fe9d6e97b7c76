"""One model in one region: the pure decider that brings its pods to what the log says.

``step(replica, event, now)`` takes in what happened and returns what to do next. It is level-triggered: effects
follow from comparing what is aspired with what is known, not from the order of events, so a lost, doubled or late
event delays but never misleads. The state of the generation is derived from those facts (``Replica.state``) and is
therefore never ahead of them. The shape follows etcd-io/raft's ``Ready`` and TensorFlow Serving's
``AspiredVersionPolicy``.

Two comparisons carry the invariants, and the simulation shows that none can be left out: the generation that is met
(``absorb.goes_back``), and the read-back of a pod (``Replica.confirms``). Two more are made where they can be made
for sure: bytes are verified where they arrive (``Artifacts.fetch``), the owner's epoch where orders arrive, by pods
and by the store.
"""

from dataclasses import replace

from modelcast.agents.region.decider.absorb import absorb
from modelcast.agents.region.decider.events_and_effects import Effect, Event, Report
from modelcast.agents.region.decider.next_effects import effects_in_alarm, next_effects
from modelcast.agents.region.decider.replica import Replica


def step(replica: Replica, event: Event, now: float) -> tuple[Replica, tuple[Effect, ...]]:
    """Take in ``event`` at ``now`` (seconds, any monotonic clock) and decide what to do.

    Pure and total: it raises on nothing, and an event that no longer matters changes nothing.
    """
    if replica.facts.replaced:
        return replica, ()
    after = absorb(replica, event, now)
    if after.facts.replaced:
        return after, ()
    after, effects = next_effects(after, now) if after.facts.contradiction is None else effects_in_alarm(after, now)
    if _outlook(after) != _outlook(replica):
        effects = (*effects, Report())
    return _dated(after, now), effects


def _dated(replica: Replica, now: float) -> Replica:
    """The replica that remembers when its generation came how far."""
    facts = replica.facts
    seen = facts.milestones.seen(replica.generation, replica.state, replica.in_region, now)
    return replica if seen is facts.milestones else replace(replica, facts=replace(facts, milestones=seen))


def _outlook(replica: Replica) -> object:
    """What people can see of the replica; a change of it is reported."""
    facts = replica.facts
    pods = {
        name: (v.reading, v.lost, v.error, bool(v.loading), replica.confirms(v)) for name, v in replica.pods.items()
    }
    under_way = {digest: progress for digest in replica.pending.fetching if (progress := facts.transfers.get(digest))}
    staged = replica.wished_staged  # what is reported: to have saved it is no news
    rollover = replica.pending.rollover
    return (replica.state, replica.generation, staged, facts.held, facts.quarantined, replica.attempts.error,
            facts.halt, rollover.waits, rollover.until, facts.alarm, facts.unreadable, facts.fleets_unknown,
            facts.fleet_trouble, under_way, pods)  # fmt: skip
