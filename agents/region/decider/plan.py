"""Deciding: what to do next, from comparing what is aspired with what is known."""

from dataclasses import replace

from modelcast.agents.region.decider.replica import NEVER, PodView, Replica
from modelcast.agents.region.decider.values import CancelFetch, CheckOwner, Effect, Fetch, Load, Read, Refold, Save
from modelcast.consumers.pods.port import LoadOrder
from modelcast.schemas.records import ModelUpdate


def plan(replica: Replica, now: float) -> tuple[Replica, tuple[Effect, ...]]:
    """What to do at ``now``, and the replica that knows it to be under way."""
    effects: list[Effect] = []
    if replica.suspects_owner:
        epochs = [v.reading.epoch or 0 for v in replica.pods.values() if v.reading]
        effects.append(CheckOwner(max([replica.outbids, *epochs])))
        replica = replace(replica, suspects_owner=False, outbids=0)
    if replica.suspects_log:
        replica = replace(replica, suspects_log=False)
        effects.append(Refold())
    for decide in (_plan_reads, _plan_fetches, _plan_loads, _plan_save):
        replica, more = decide(replica, now)
        effects += more
    return replica, tuple(effects)


def _plan_reads(replica: Replica, now: float) -> tuple[Replica, list[Effect]]:
    effects: list[Effect] = []
    for name, view in replica.pods.items():
        due = now >= view.read_at + replica.policy.read_every or view.awaits_read_back
        # Also while it loads: a pod that died half-way is found out in seconds, not when the load times out.
        if due and not view.reading_now:
            replica = replica.with_pod(name, lambda v: replace(v, reading_now=True))
            effects.append(Read(name))
    return replica, effects


def _plan_fetches(replica: Replica, now: float) -> tuple[Replica, list[Effect]]:
    effects: list[Effect] = []
    aspiration = replica.aspiration
    if aspiration is None or not replica.pods_known:
        return replica, effects
    target, ahead = aspiration.update, aspiration.staged
    rescue = _rescue(replica)
    wanted = {u.artifact.manifest_digest for u in (target, ahead, rescue) if u}
    for digest in sorted(replica.fetching - wanted - replica.cancelled):
        replica = replace(replica, cancelled=replica.cancelled | {digest})
        effects.append(CancelFetch(digest))
    # Right after a takeover the pods say first what they serve: usually there is nothing to bring. One that lacks
    # the bytes is reason enough, whatever the others will say.
    lacking = any(v.known and not replica.serves_bytes(v) for v in replica.pods.values())
    # Pods that serve the bytes may still have to load them again: a reload, or the same bytes as another version.
    needed = not replica.pods or lacking or replica.digest in replica.missing
    due = [target] if target and needed else []
    settled = target is None or not needed or replica.digest in replica.held or replica.is_quarantined(replica.digest)
    if ahead and settled:
        due.append(ahead)
    if rescue:
        due.append(rescue)
    for update in due:
        digest = update.artifact.manifest_digest
        free = digest not in replica.held and digest not in replica.fetching
        if free and not replica.is_quarantined(digest) and now >= replica.retry_at.get(digest, NEVER):
            replica = replace(replica, fetching=replica.fetching | {digest})
            effects.append(Fetch(update))
    return replica, effects


def _rescue(replica: Replica) -> ModelUpdate | None:
    """What to bring back from the store for a pod that serves nothing, because its cache has lost it."""
    last = replica.last_resort
    coming = replica.has_bytes and not replica.is_quarantined(replica.digest)
    if last is None or last.artifact.manifest_digest not in replica.missing or coming:
        return None
    bare = any(v.reading is not None and v.reading.version is None for v in replica.pods.values())
    return last if bare else None


def _plan_loads(replica: Replica, now: float) -> tuple[Replica, list[Effect]]:
    effects: list[Effect] = []
    under_way = sum(1 for v in replica.pods.values() if v.loading)
    for name in sorted(replica.pods):
        if under_way >= replica.policy.loads_at_once:
            break
        view = replica.pods[name]
        order = _order_for(replica, view)
        if order is None or view.loading or view.lost or not view.known or view.reading_now or now < view.retry_at:
            continue
        replica = replica.with_pod(name, lambda v, order=order: replace(v, loading=order))  # type: ignore[misc]
        effects.append(Load(name, order))
        under_way += 1
    return replica, effects


def _order_for(replica: Replica, view: PodView) -> LoadOrder | None:
    """What this pod should be told now, if anything."""
    aspiration, target, saved, reading = replica.aspiration, replica.target, replica.saved, view.reading
    if aspiration is None or reading is None:
        return None
    if reading.generation is not None and reading.generation > replica.generation:
        return None  # never lower a pod, whoever raised it: the log is read again first
    newer_owner = reading.epoch is not None and reading.epoch < saved.epoch
    usable = target is not None and not replica.is_quarantined(replica.digest)
    in_place = replica.serves_bytes(view) and replica.digest not in replica.missing
    if target and usable and (replica.digest in replica.held or in_place):
        behind = reading.generation is not None and reading.generation < replica.generation
        wrong = not replica.serves_bytes(view) and reading.manifest_digest is not None
        unlike = reading.version != target.version
        durable = saved.accepted_generation >= replica.generation
        if durable and (behind or wrong or unlike or newer_owner):
            again = reading.generation is not None and reading.generation < aspiration.reload_generation
            return LoadOrder(
                saved.model, target.version, replica.digest, replica.generation, saved.epoch, saved.registry_id,
                reload=again and replica.serves_bytes(view),
            )  # fmt: skip
        return None
    # What is aspired cannot be served yet: a pod that serves nothing gets what the region served last, and one that
    # serves just that learns of its new owner.
    served = saved.served
    if served is None or replica.last_resort is None or served.manifest_digest in replica.missing:
        return None
    same = (reading.version, reading.manifest_digest) == (served.version, served.manifest_digest)
    bare = reading.version is None and reading.ready  # one that still starts may yet restore something newer
    if bare or (newer_owner and same):
        # A later generation may have meant the same version, and reached this pod but not all: it keeps that one.
        generation = max(served.generation, reading.generation or 0)
        return LoadOrder(
            saved.model, served.version, served.manifest_digest, generation, saved.epoch, saved.registry_id
        )
    return None


def _plan_save(replica: Replica, now: float) -> tuple[Replica, list[Effect]]:
    wished = replica.wished_memory()
    if wished == replica.saved or replica.saving or now < replica.save_retry_at:
        return replica, []
    return replace(replica, saving=True), [Save(wished)]
