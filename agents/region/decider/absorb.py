"""Taking in: how an event changes what the replica knows. Total: an event that no longer matters changes nothing."""

from dataclasses import replace

from modelcast.agents.region.decider.memory import Quarantine
from modelcast.agents.region.decider.replica import NEVER, PodView, Replica
from modelcast.agents.region.decider.values import (
    Contradicted,
    Event,
    Fetched,
    FetchFailed,
    Fetching,
    Folded,
    LoadBroken,
    Loaded,
    LoadRefused,
    PodLost,
    PodRead,
    PodsKnown,
    Replaced,
    Saved,
    SaveFailed,
    Tick,
    Unreadable,
)
from modelcast.consumers.pods.port import PodReading
from modelcast.schemas.log import ModelLog


def absorb(replica: Replica, event: Event, now: float) -> Replica:
    """The replica that knows of ``event``."""
    return _concluded(_told(replica, event, now))


def _concluded(replica: Replica) -> Replica:
    """What follows from the facts at once: bytes that were seen in the region, and failures that are overcome."""
    digest = replica.digest
    if digest and digest not in replica.arrived and replica.has_bytes:
        replica = replace(replica, arrived=replica.arrived | {digest})
    return _without_failures(replica, digest) if replica.settled else replica


def _told(replica: Replica, event: Event, now: float) -> Replica:
    match event:
        case Folded():
            return _on_folded(replica, event)
        case Unreadable(reason):
            return replace(replica, unreadable=reason)
        case Contradicted(reason):
            return replace(replica, alarm=reason)
        case PodsKnown(names):
            pods = {name: replica.pods.get(name, PodView()) for name in names}
            return replace(replica, pods=pods, pods_known=True)
        case Fetching(digest, transfer):
            if digest not in replica.fetching:  # a word that its own end has overtaken
                return replica
            return replace(replica, transfers={**replica.transfers, digest: transfer})
        case Fetched():
            return _on_fetched(replica, event)
        case FetchFailed():
            return _on_fetch_failed(replica, event, now)
        case Loaded(pod, order):
            return replica.with_pod(
                pod, lambda v: replace(v, loading=order, awaits_read_back=True, overtaken=v.reading_now)
            )
        case LoadRefused():
            return _on_refused(replica, event, now)
        case LoadBroken():
            return _on_broken(replica, event, now)
        case PodRead(reading):
            return _on_read(replica, reading, now)
        case PodLost(pod, message):
            return replica.with_pod(pod,
                lambda v: replace(
                    v, reading=None, read_at=now, known=True, lost=True, loading=None, awaits_read_back=False,
                    reading_now=False, overtaken=False, error=message,
                ),
            )  # fmt: skip
        case Saved(memory):
            return replace(replica, saved=memory, saving=False, save_failures=0, save_retry_at=NEVER)
        case SaveFailed(message):
            failures = replica.save_failures + 1
            wait = replica.backoff(failures, "save")
            return replace(replica, saving=False, save_failures=failures, save_retry_at=now + wait, error=message)
        case Replaced(reason):
            return replace(replica, replaced=reason)
        case Tick():
            return replica


def goes_back(replica: Replica, log: ModelLog) -> bool:
    """Whether ``log`` is an older fold than one met before: a read that was overtaken, to be ignored."""
    return log.head < replica.log_head


def _on_folded(replica: Replica, event: Folded) -> Replica:
    log, saved = event.log, replica.saved
    if log.registry_id != saved.registry_id:
        return replace(replica, alarm=f"registry {log.registry_id} is not {saved.registry_id}, which this region obeys")
    if goes_back(replica, log):
        return replica
    replica = replace(replica, suspects_log=False, log_head=log.head)
    accepted = saved.accepted_generation
    if log.head < accepted:
        return replace(replica, alarm=f"the log ends at {log.head}, but generation {accepted} was accepted before")
    if accepted and log.event_ids[accepted - 1] != saved.accepted_event_id:
        return replace(replica, alarm=f"another event stands at generation {accepted}, which was accepted before")
    aspiration = log.aspiration(saved.region)
    fresh = aspiration.generation > replica.generation
    released = {q for q in replica.quarantined if aspiration.released.get(q.version, 0) > q.generation}
    forgiven = {q.manifest_digest for q in released}
    replica = replace(
        replica,
        alarm="",
        aspiration=aspiration,
        updates=log.updates,
        accepted_event_id=log.event_ids[aspiration.generation - 1] if aspiration.generation else "",
        quarantined=tuple(q for q in replica.quarantined if q not in released),
        damages={d: n for d, n in replica.damages.items() if d not in forgiven},
    )
    if not fresh:
        return replica
    pods = {n: replace(v, failures=0, retry_at=NEVER, error="" if not v.lost else v.error)
            for n, v in replica.pods.items()}  # fmt: skip
    return replace(replica, failures={}, retry_at={}, broken_loads=0, error="", pods=pods)


def _on_fetched(replica: Replica, event: Fetched) -> Replica:
    digest = event.manifest_digest
    return replace(
        _without_failures(replica, digest),
        fetching=replica.fetching - {digest},
        cancelled=replica.cancelled - {digest},
        held=replica.held | {digest},
        missing=replica.missing - {digest},
        transfers={**replica.transfers, digest: event.transfer},
        error="" if digest == replica.digest else replica.error,
    )


def _without_failures(replica: Replica, digest: str) -> Replica:
    """The bytes have arrived: what went wrong on their way no longer counts."""
    if digest not in replica.failures:
        return replica
    return replace(
        replica,
        failures={d: n for d, n in replica.failures.items() if d != digest},
        retry_at={d: t for d, t in replica.retry_at.items() if d != digest},
    )


def _on_fetch_failed(replica: Replica, event: FetchFailed, now: float) -> Replica:
    digest = event.manifest_digest
    replica = replace(replica, fetching=replica.fetching - {digest}, cancelled=replica.cancelled - {digest})
    if event.cancelled:
        return replica
    if event.damaged:
        replica = _damaged(replica, digest, event.message)
    failures = replica.failures.get(digest, 0) + 1
    wait = replica.backoff(failures, digest)
    return replace(
        replica,
        held=replica.held - {digest},
        failures={**replica.failures, digest: failures},
        retry_at={**replica.retry_at, digest: now + wait},
        error=event.message if digest == replica.digest else replica.error,
    )


def _damaged(replica: Replica, digest: str, message: str) -> Replica:
    count = replica.damages.get(digest, 0) + 1
    replica = replace(replica, damages={**replica.damages, digest: count})
    if count >= replica.policy.damage_attempts:
        return _quarantine(replica, digest, f"damaged {count} times: {message}")
    return replica


def _quarantine(replica: Replica, digest: str, reason: str) -> Replica:
    aspiration = replica.aspiration
    updates = (aspiration.update, aspiration.staged) if aspiration else ()
    version = next((u.version for u in updates if u and u.artifact.manifest_digest == digest), 0)
    if replica.is_quarantined(digest) or not version:
        return replica
    entry = Quarantine(digest, version, replica.generation, reason)
    return replace(replica, quarantined=(*replica.quarantined, entry), error=reason)


def _on_refused(replica: Replica, event: LoadRefused, now: float) -> Replica:
    stale = event.code in {"stale", "conflict", "superseded"}
    replica = replace(replica, suspects_owner=stale, suspects_log=stale)
    if event.code == "stale" and event.order.generation < replica.generation:
        # The pod promised a generation that cannot be had; only a higher epoch of ours lets it serve an older one.
        replica = replace(replica, outbids=max(replica.outbids, event.order.epoch + 1))
    return _load_failed(replica, event.pod, event.message, now)


def _on_broken(replica: Replica, event: LoadBroken, now: float) -> Replica:
    digest = event.order.manifest_digest
    if event.code in {"verification_failed", "artifact_missing"}:
        replica = replace(replica, held=replica.held - {digest}, missing=replica.missing | {digest})
        if event.code == "verification_failed":
            replica = _damaged(replica, digest, event.message)
    elif event.code == "load_failed" and digest == replica.digest:
        replica = replace(replica, broken_loads=replica.broken_loads + 1)
        nowhere = not any(replica.confirms(v) for v in replica.pods.values())
        if nowhere and replica.broken_loads >= replica.policy.load_attempts:
            replica = _quarantine(replica, digest, f"loads nowhere: {event.message}")
    return _load_failed(replica, event.pod, event.message, now)


def _load_failed(replica: Replica, pod: str, message: str, now: float) -> Replica:
    def change(view: PodView) -> PodView:
        failures = view.failures + 1
        wait = replica.backoff(failures, pod)
        return replace(
            view, loading=None, awaits_read_back=False, failures=failures, retry_at=now + wait, error=message,
            read_at=NEVER,
        )  # fmt: skip

    return replica.with_pod(pod, change)


def _on_read(replica: Replica, reading: PodReading, now: float) -> Replica:
    view = replica.pods.get(reading.pod)
    if view is None:
        return replica
    if reading.epoch is not None and reading.epoch > replica.saved.epoch:
        replica = replace(replica, suspects_owner=True)
    if reading.generation is not None and reading.generation > replica.generation:
        replica = replace(replica, suspects_log=True)
    order, awaited = view.loading, view.awaits_read_back and not view.overtaken
    seen = replace(
        view,
        reading=reading, read_at=now, known=True, lost=False, reading_now=False, overtaken=False,
        awaits_read_back=view.awaits_read_back and not awaited,
        loading=None if awaited else order,
        error="" if view.lost else view.error,
    )  # fmt: skip
    if order is not None and awaited and reading.manifest_digest not in {None, order.manifest_digest}:
        replica = replica.with_pod(reading.pod, lambda _: seen)
        message = f"said that it serves {order.version}, but read back {reading.version}"
        replica = _load_failed(replica, reading.pod, message, now)
        return replica.with_pod(reading.pod, lambda v: replace(v, read_at=now))
    if replica.confirms(seen):
        seen = replace(seen, failures=0, retry_at=NEVER, error="")
    return replica.with_pod(reading.pod, lambda _: seen)
