"""What to do next, from comparing what is aspired with what is known. Pure."""

from dataclasses import replace

from modelcast.agents.region.decider.events_and_effects import (
    CancelFetch,
    CheckOwner,
    Effect,
    Fetch,
    Load,
    Read,
    Refold,
    Save,
)
from modelcast.agents.region.decider.knowledge import NEVER, PodView
from modelcast.agents.region.decider.lane import plan_unloads, stands_beside
from modelcast.agents.region.decider.replica import Replica
from modelcast.agents.region.decider.rollover.next_orders import need_of, next_orders
from modelcast.agents.region.decider.rollover.pod_facts import Need
from modelcast.consumers.pod_clients.port import CONFIRMING, LoadOrder, PodReading
from modelcast.schemas.records import ModelUpdate


def next_effects(replica: Replica, now: float) -> tuple[Replica, tuple[Effect, ...]]:
    """The effects to carry out at ``now``, and the replica with them under way."""
    effects: list[Effect] = []
    for decide in (_plan_log, _plan_reads, _plan_fetches, _plan_loads, plan_unloads, _plan_state):
        replica, more = decide(replica, now)
        effects += more
    return replica, tuple(effects)


def effects_in_alarm(replica: Replica, now: float) -> tuple[Replica, tuple[Effect, ...]]:
    """What to do while no log is obeyed: read pods, and give one that serves nothing what the region served last."""
    effects: list[Effect] = []
    for decide in (_plan_reads, _plan_loads, _plan_state):
        replica, more = decide(replica, now)
        effects += more
    return replica, tuple(effects)


def _plan_log(replica: Replica, now: float) -> tuple[Replica, list[Effect]]:
    if not replica.pending.suspects_log:
        return replica, []
    return replace(replica, pending=replace(replica.pending, suspects_log=False)), [Refold()]


def _plan_reads(replica: Replica, now: float) -> tuple[Replica, list[Effect]]:
    effects: list[Effect] = []
    for name, view in replica.pods.items():
        due = now >= view.read_at + replica.policy.read_every or view.awaits_read_back
        # Also while it loads: a pod that died half-way is found out in seconds, not when the load times out.
        if due and not view.reading_now:
            replica = replica.with_pod(name, replace(view, reading_now=True))
            effects.append(Read(name))
    return replica, effects


def _plan_fetches(replica: Replica, now: float) -> tuple[Replica, list[Effect]]:
    effects: list[Effect] = []
    aspiration = replica.facts.aspiration
    if aspiration is None or not replica.facts.pods_known:
        return replica, effects
    target, ahead = aspiration.update, aspiration.staged
    rescue = _rescue(replica)
    wanted = {u.artifact.manifest_digest for u in (target, ahead, rescue) if u}
    for digest in sorted(replica.pending.fetching - wanted - replica.pending.cancelled):
        cancelled = replica.pending.cancelled | {digest}
        replica = replace(replica, pending=replace(replica.pending, cancelled=cancelled))
        effects.append(CancelFetch(digest))
    if replica.pending.holding:
        return replica, effects
    # Right after a takeover the pods say first what they serve: usually there is nothing to bring. One that lacks
    # the bytes is reason enough, whatever the others will say.
    lacking = any(v.known and not replica.serves_bytes(v) for v in replica.pods.values())
    # Pods that serve the bytes may still have to load them again: a reload, or the same bytes as another version.
    needed = not replica.pods or lacking or replica.digest in replica.facts.missing
    due = [target] if target and needed else []
    settled = (
        target is None or not needed or replica.digest in replica.facts.held or replica.is_quarantined(replica.digest)
    )
    if ahead and settled:
        due.append(ahead)
    if rescue:
        due.append(rescue)
    for update in due:
        digest = update.artifact.manifest_digest
        free = digest not in replica.facts.held and digest not in replica.pending.fetching
        if free and not replica.is_quarantined(digest) and now >= replica.attempts.retry_at.get(digest, NEVER):
            fetching = replica.pending.fetching | {digest}
            replica = replace(replica, pending=replace(replica.pending, fetching=fetching))
            effects.append(Fetch(update))
    return replica, effects


def _rescue(replica: Replica) -> ModelUpdate | None:
    """What to bring back from the store for a pod that serves nothing, because its cache has lost it."""
    last = replica.last_resort
    coming = replica.has_bytes and not replica.is_quarantined(replica.digest) and not replica.is_halted
    if last is None or last.artifact.manifest_digest not in replica.facts.missing or coming:
        return None
    bare = any(v.reading is not None and v.reading.version is None for v in replica.pods.values())
    return last if bare else None


def _plan_loads(replica: Replica, now: float) -> tuple[Replica, list[Effect]]:
    effects: list[Effect] = []
    if replica.pending.holding:
        return replica, effects
    idle = {name: view for name, view in replica.pods.items() if not view.loading and not view.lost}
    wanted = {name: order for name, view in idle.items() if (order := _order_for(replica, view))}
    decided, names = next_orders(replica, wanted, now)
    if names and not replica.is_proved(now):
        asked = replica.pending.saving or replica.pending.checking  # the answer is a proof, too
        pending = decided.pending if asked else replace(decided.pending, suspects_owner=True)
        return replace(decided, pending=pending), effects
    for name in names:
        decided = decided.with_pod(name, _ordered(decided.view_of(name), wanted[name], now))
        effects.append(Load(name, wanted[name]))
    return decided, effects


def _ordered(view: PodView, order: LoadOrder, now: float) -> PodView:
    swaps = need_of(view.reading, order) is Need.VERSION
    ordered_at = now if swaps else view.ordered_at
    return replace(view, loading=order, ordered_at=ordered_at, owes_unload=view.owes_unload or bool(order.lane))


def _order_for(replica: Replica, view: PodView) -> LoadOrder | None:
    """The order that this pod should get now, if any."""
    aspiration, target, saved, reading = replica.facts.aspiration, replica.target, replica.facts.saved, view.reading
    if reading is None:
        return None
    if replica.facts.contradiction is not None:
        return _last_served(replica, reading)
    if aspiration is None or (replica.facts.lane and not stands_beside(replica, reading)):
        return None
    if reading.generation is not None and reading.generation > replica.generation:
        return None  # a pod is never lowered, also if another worker raised it: the log is read again first
    newer_owner = reading.epoch is not None and reading.epoch < saved.epoch
    usable = target is not None and not replica.is_quarantined(replica.digest)
    in_place = replica.serves_bytes(view) and replica.digest not in replica.facts.missing
    unlike = target is not None and reading.version != target.version
    again = reading.generation is not None and reading.generation < aspiration.reload_generation
    owed = replica.owes_reload(view)
    if replica.is_halted and (unlike or again or owed or not replica.serves_bytes(view)):
        return _last_served(replica, reading)
    if target and usable and (replica.digest in replica.facts.held or in_place):
        behind = reading.generation is not None and reading.generation < replica.generation
        wrong = not replica.serves_bytes(view) and reading.manifest_digest is not None
        unproved = reading.proof not in CONFIRMING
        durable = saved.accepted_generation >= replica.generation
        if durable and (behind or wrong or unlike or newer_owner or unproved or owed):
            return LoadOrder(
                saved.model, target.version, replica.digest, replica.generation, saved.epoch, saved.registry_id,
                reload=owed or (again and replica.serves_bytes(view)), lane=replica.facts.lane,
            )  # fmt: skip
        return None
    return _last_served(replica, reading)


def _last_served(replica: Replica, reading: PodReading) -> LoadOrder | None:
    """The order for a pod while what is aspired cannot be served, or no log is obeyed.

    One that serves nothing gets what the region served last, and one that serves just that learns of its new owner.
    A candidate has no such: where it can't be had, what stands beside it answers.
    """
    saved, served = replica.facts.saved, replica.facts.saved.served
    # A log that is not obeyed can't say whether what was served last still stands in it; it goes on being served.
    known = replica.facts.contradiction is not None or replica.last_resort is not None
    if served is None or not known or served.manifest_digest in replica.facts.missing:
        return None
    if replica.facts.lane or replica.served_quarantined or replica.is_quarantined(served.manifest_digest):
        return None
    newer_owner = reading.epoch is not None and reading.epoch < saved.epoch
    same = (reading.version, reading.manifest_digest) == (served.version, served.manifest_digest)
    bare = reading.version is None and reading.ready  # one that still starts may yet restore something newer
    if bare or (newer_owner and same):
        # A later generation may have meant the same version, and reached this pod but not all: it keeps that one.
        generation = max(served.generation, reading.generation or 0)
        return LoadOrder(
            saved.model, served.version, served.manifest_digest, generation, saved.epoch, saved.registry_id
        )
    return None


def _plan_state(replica: Replica, now: float) -> tuple[Replica, list[Effect]]:
    """One call on the state object at a time, so that none overtakes another: a question, or else a write."""
    pending, policy = replica.pending, replica.policy
    waits = bool(pending.fetching - pending.cancelled) and replica.only_accepts
    since = min(pending.acceptance_waits_since, now) if waits else float("inf")
    replica, effects = _plan_check(replace(replica, pending=replace(pending, acceptance_waits_since=since)), now)
    wished = replica.wished_memory()
    if _is_busy(replica, now) or wished == replica.facts.saved:
        return replica, effects
    if waits and now < since + policy.save_with_fetch_seconds:
        return replica, effects
    pending = replace(replica.pending, saving=True, state_asked_at=now, acceptance_waits_since=float("inf"))
    return replace(replica, pending=pending), [Save(wished)]


def _plan_check(replica: Replica, now: float) -> tuple[Replica, list[Effect]]:
    """Ask which worker owns the model, if that is in doubt."""
    pending = replica.pending
    if not pending.suspects_owner or _is_busy(replica, now):
        return replica, []
    epochs = [v.reading.epoch or 0 for v in replica.pods.values() if v.reading]
    effect = CheckOwner(max([pending.outbids, *epochs]))
    pending = replace(pending, checking=True, suspects_owner=False, state_asked_at=now)
    return replace(replica, pending=pending), [effect]


def _is_busy(replica: Replica, now: float) -> bool:
    """Whether a call on the state object is under way, or must not begin yet."""
    pending = replica.pending
    return pending.saving or pending.checking or now < replica.attempts.state_retry_at
