"""Taking in: how an event changes what the replica knows. Total: an event that no longer matters changes nothing."""

from collections.abc import Mapping
from dataclasses import replace

from modelcast.agents.region.decider.knowledge import NEVER, Attempts, PodView
from modelcast.agents.region.decider.memory import Contradiction, Memory, Quarantine
from modelcast.agents.region.decider.replica import Replica
from modelcast.agents.region.decider.values import (
    Contradicted,
    Event,
    Fetched,
    FetchFailed,
    Fetching,
    Folded,
    Holding,
    LoadBroken,
    Loaded,
    LoadRefused,
    OwnershipDoubted,
    PodBusy,
    PodFree,
    PodLost,
    PodRead,
    PodsKnown,
    PodsOut,
    PodTraits,
    Replaced,
    Saved,
    SaveFailed,
    Tick,
    Unreadable,
)
from modelcast.consumers.pod_clients.port import (
    BLAMES_THE_BYTES,
    BLAMES_THE_VERSION,
    CONFIRMING,
    LoadOrder,
    PodReading,
)
from modelcast.schemas.digests import short
from modelcast.schemas.log.fold import ModelLog

REASON_CHARS_MAX = 500


def absorb(replica: Replica, event: Event, now: float) -> Replica:
    """The replica that knows of ``event``."""
    return _concluded(_taken_in(replica, event, now))


def _concluded(replica: Replica) -> Replica:
    """What follows from the facts at once: bytes that were seen in the region, and failures that are overcome."""
    facts, digest = replica.facts, replica.digest
    if digest and digest not in facts.arrived and replica.has_bytes:
        replica = replace(replica, facts=replace(facts, arrived=facts.arrived | {digest}))
    if not replica.settled:
        return replica
    if replica.facts.halt is not None:  # there is nothing left to stop
        replica = replace(replica, facts=replace(replica.facts, halt=None))
    return _without_failures(replica, digest)


def _taken_in(replica: Replica, event: Event, now: float) -> Replica:
    match event:
        case Folded():
            return _on_folded(replica, event)
        case Unreadable(reason):
            return replace(replica, facts=replace(replica.facts, unreadable=reason))
        case Contradicted(reason):
            return _contradicted(replica, reason)
        case PodsKnown():
            return _on_pods_known(replica, event)
        case Fetching(digest, transfer):
            if digest not in replica.pending.fetching:  # its own end has overtaken it
                return replica
            transfers = {**replica.facts.transfers, digest: transfer}
            return replace(replica, facts=replace(replica.facts, transfers=transfers))
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
            return replica.with_pod(pod, lambda v: _lost(replica, pod, v, message, now))
        case PodBusy(pod, model):
            return replica.with_pod(pod, lambda v: replace(v, loading=None, loads_another=model, ordered_at=NEVER))
        case PodFree(pod):
            return replica.with_pod(pod, lambda v: replace(v, loads_another=""))
        case PodsOut(loads):
            return _on_pods_out(replica, loads)
        case Saved(memory):
            return _on_saved(replica, memory, now)
        case SaveFailed(message):
            return _on_save_failed(replica, message, now)
        case Replaced(reason):
            return replace(replica, facts=replace(replica.facts, replaced=reason))
        case OwnershipDoubted():
            return replace(replica, pending=replace(replica.pending, suspects_owner=True))
        case Holding(on):
            return replace(replica, pending=replace(replica.pending, holding=on))
        case Tick():
            return replica


# --- the log -----------------------------------------------------------------------------------------------


def goes_back(replica: Replica, log: ModelLog) -> bool:
    """Whether ``log`` is an older fold than one met before: a read that was overtaken, to be ignored."""
    return log.head < replica.facts.log_head


def may_end_alarm(replica: Replica, folded: Folded) -> bool:
    """Whether a fold proves the whole log: one that goes on from what was read before proves nothing about that."""
    return folded.whole and not is_overtaken(replica, folded)


def is_overtaken(replica: Replica, folded: Folded) -> bool:
    """Whether the state object may know of more than this fold: it was read before the model was claimed."""
    return folded.asked_at < replica.facts.owned_at


def contradiction_of(replica: Replica, log: ModelLog) -> str:
    """Why the region must not obey ``log``, for people; "": it holds, or gave up, all that was read before."""
    unanswered = next((p for p in replica.positions if not log.answers(p)), None)
    if unanswered is None:
        return ""
    generation, digest = unanswered.generation, short(unanswered.digest)
    if log.head < generation:
        found = f"the log ends at generation {log.head}, but generation {generation} ({digest}) was accepted before"
    else:
        found = (
            f"the log was rewritten: up to generation {generation} it has the digest "
            f"{short(log.digest_at(generation))}, but {digest} was accepted before"
        )
    return f"{found}; restore it, or decide: modelcast registry accept {log.model} --reason TEXT"


def _on_folded(replica: Replica, folded: Folded) -> Replica:
    log, saved = folded.log, replica.facts.saved
    if log.registry_id != saved.registry_id:
        return _contradicted(replica, f"registry {log.registry_id} is not {saved.registry_id}, which this region obeys")
    if goes_back(replica, log) or (replica.facts.contradiction is not None and not may_end_alarm(replica, folded)):
        return replica
    reason = contradiction_of(replica, log)
    doubted = bool(reason) and is_overtaken(replica, folded)
    replica = replace(replica, pending=replace(replica.pending, suspects_log=doubted))
    if reason:
        return replica if doubted else _contradicted(replica, reason)
    facts = replace(replica.facts, log_head=log.head, log_digest=log.digest_at(log.head))
    aspiration = log.aspiration(saved.region)
    fresh = aspiration.generation > replica.generation
    released = {q for q in facts.quarantined if aspiration.released.get(q.version, 0) > q.generation}
    forgiven = {q.manifest_digest for q in released}
    facts = replace(
        facts,
        contradiction=None,
        aspiration=aspiration,
        updates=log.updates,
        accepted_digest=log.digest_at(aspiration.generation) if aspiration.generation else "",
        quarantined=tuple(q for q in facts.quarantined if q not in released),
    )
    damages = {d: n for d, n in replica.attempts.damages.items() if d not in forgiven}
    replica = replace(replica, facts=facts, attempts=replace(replica.attempts, damages=damages))
    return _begun_anew(replica) if fresh else replica


def _begun_anew(replica: Replica) -> Replica:
    """A new generation is tried at once, whatever failed before; only bytes that were damaged stay counted."""
    before = replica.attempts
    attempts = Attempts(
        damages=before.damages, state_failures=before.state_failures, state_retry_at=before.state_retry_at
    )
    pods = {n: replace(v, failures=0, retry_at=NEVER, error="" if not v.lost else v.error, code="", failure="",
                       failure_code="", ordered_at=v.ordered_at if v.loading else NEVER, ended_at=NEVER)
            for n, v in replica.pods.items()}  # fmt: skip
    return replace(replica, attempts=attempts, pods=pods)


def _contradicted(replica: Replica, reason: str) -> Replica:
    """No log is obeyed any more. What is remembered of the one that was is the furthest position read."""
    facts, known = replica.facts, replica.facts.contradiction
    generation, digest = facts.log_head, facts.log_digest
    if known is not None and known.generation >= generation:
        generation, digest = known.generation, known.digest
    found = Contradiction(generation, digest, reason[:REASON_CHARS_MAX])
    return replace(replica, facts=replace(facts, contradiction=found))


# --- the state object --------------------------------------------------------------------------------------


def _on_saved(replica: Replica, memory: Memory, now: float) -> Replica:
    facts, pending = replica.facts, replica.pending
    still_counts = now - max(0.0, replica.policy.proof_seconds - replica.policy.slow_proof_seconds)
    proved_at = max(facts.proved_at, pending.state_asked_at, still_counts)
    outbid = memory.epoch > pending.outbids
    return replace(
        replica,
        facts=replace(facts, saved=memory, proved_at=proved_at),
        pending=replace(pending, saving=False, checking=False, outbids=0 if outbid else pending.outbids),
        attempts=replace(replica.attempts, state_failures=0, state_retry_at=NEVER),
    )


def _on_save_failed(replica: Replica, message: str, now: float) -> Replica:
    pending, attempts = replica.pending, replica.attempts
    failures = attempts.state_failures + 1
    attempts = replace(
        attempts,
        state_failures=failures,
        state_retry_at=now + replica.backoff(failures, "save"),
        error=attempts.error if pending.checking else message,
    )
    still = pending.suspects_owner or pending.checking
    pending = replace(pending, saving=False, checking=False, suspects_owner=still)
    return replace(replica, pending=pending, attempts=attempts)


# --- fetches -----------------------------------------------------------------------------------------------


def _on_fetched(replica: Replica, event: Fetched) -> Replica:
    digest = event.manifest_digest
    replica = _not_fetching(_without_failures(replica, digest), digest)
    facts, attempts = replica.facts, replica.attempts
    facts = replace(
        facts,
        held=facts.held | {digest},
        missing=facts.missing - {digest},
        transfers={**facts.transfers, digest: event.transfer},
    )
    attempts = replace(attempts, error="" if digest == replica.digest else attempts.error)
    return replace(replica, facts=facts, attempts=attempts)


def _not_fetching(replica: Replica, digest: str) -> Replica:
    pending = replica.pending
    pending = replace(pending, fetching=pending.fetching - {digest}, cancelled=pending.cancelled - {digest})
    return replace(replica, pending=pending)


def _without_failures(replica: Replica, digest: str) -> Replica:
    """The bytes have arrived: what went wrong on their way no longer counts."""
    attempts = replica.attempts
    if digest not in attempts.failures:
        return replica
    failures = {d: n for d, n in attempts.failures.items() if d != digest}
    retry_at = {d: t for d, t in attempts.retry_at.items() if d != digest}
    return replace(replica, attempts=replace(attempts, failures=failures, retry_at=retry_at))


def _on_fetch_failed(replica: Replica, event: FetchFailed, now: float) -> Replica:
    digest = event.manifest_digest
    replica = _not_fetching(replica, digest)
    if event.cancelled:
        return replica
    if event.damaged:
        replica = _damaged(replica, digest, event.message)
    facts, attempts = replica.facts, replica.attempts
    failures = attempts.failures.get(digest, 0) + 1
    attempts = replace(
        attempts,
        failures={**attempts.failures, digest: failures},
        retry_at={**attempts.retry_at, digest: now + replica.backoff(failures, digest)},
        error=event.message if digest == replica.digest else attempts.error,
    )
    return replace(replica, facts=replace(facts, held=facts.held - {digest}), attempts=attempts)


def _damaged(replica: Replica, digest: str, message: str) -> Replica:
    attempts = replica.attempts
    count = attempts.damages.get(digest, 0) + 1
    replica = replace(replica, attempts=replace(attempts, damages={**attempts.damages, digest: count}))
    if count >= replica.policy.damage_attempts:
        return _quarantine(replica, digest, f"damaged {count} times: {message}")
    return replica


def _quarantine(replica: Replica, digest: str, reason: str) -> Replica:
    facts, aspiration = replica.facts, replica.facts.aspiration
    updates = (aspiration.update, aspiration.staged) if aspiration else ()
    version = next((u.version for u in updates if u and u.artifact.manifest_digest == digest), 0)
    if replica.is_quarantined(digest) or not version:
        return replica
    entry = Quarantine(digest, version, replica.generation, reason)
    facts = replace(facts, quarantined=(*facts.quarantined, entry))
    return replace(replica, facts=facts, attempts=replace(replica.attempts, error=reason))


# --- pods --------------------------------------------------------------------------------------------------


def _on_pods_known(replica: Replica, event: PodsKnown) -> Replica:
    """Pods that left are forgotten; one that has taken another's name is as unknown as one that came."""
    old = {name: view for name, view in replica.pods.items() if name not in event.replaced}
    facts = replace(
        replica.facts,
        pods_known=bool(event.names) or not event.fleets_unknown,
        fleets_unknown=event.fleets_unknown,
        fleet_trouble=event.trouble,
    )
    known = {name: old.get(name, PodView()) for name in event.names}
    pods = {name: replace(view, traits=event.traits.get(name, PodTraits())) for name, view in known.items()}
    return replace(replica, pods=pods, facts=facts)


def _on_pods_out(replica: Replica, loads: Mapping[str, str]) -> Replica:
    pods = {
        name: replace(view, loads_another=loads.get(name, ""))
        if view.reading is not None and not view.reading.gapless
        else view
        for name, view in replica.pods.items()
    }
    return replace(replica, pods=pods)


def _on_refused(replica: Replica, event: LoadRefused, now: float) -> Replica:
    pending = replica.pending
    if event.code in {"stale", "conflict", "superseded"}:
        pending = replace(pending, suspects_owner=True, suspects_log=True)
    if event.code == "stale" and event.order.generation < replica.generation:
        # The pod promised a generation that cannot be had; only a higher epoch of ours lets it serve an older one.
        pending = replace(pending, outbids=max(pending.outbids, event.order.epoch + 1))
    return _load_failed(replace(replica, pending=pending), event.pod, event.code, event.message, now)


def _on_broken(replica: Replica, event: LoadBroken, now: float) -> Replica:
    digest, facts = event.order.manifest_digest, replica.facts
    if event.code in {BLAMES_THE_BYTES, "artifact_missing"}:
        facts = replace(facts, held=facts.held - {digest}, missing=facts.missing | {digest})
        replica = replace(replica, facts=facts)
        if event.code == BLAMES_THE_BYTES:
            replica = _damaged(replica, digest, event.message)
    elif blames_version(event.code) and digest == replica.digest:
        broken_loads = replica.attempts.broken_loads + 1
        replica = replace(replica, attempts=replace(replica.attempts, broken_loads=broken_loads))
        nowhere = not any(replica.confirms(v) for v in replica.pods.values())
        if nowhere and broken_loads >= replica.policy.load_attempts:
            replica = _quarantine(replica, digest, f"loads nowhere: {event.message}")
    return _load_failed(replica, event.pod, event.code, event.message, now)


def blames_version(code: str) -> bool:
    """Whether a failed load counts against the version: a pod that had the bytes whole tried, and reported why."""
    return code == BLAMES_THE_VERSION


def _load_failed(replica: Replica, pod: str, code: str, message: str, now: float) -> Replica:
    def change(view: PodView) -> PodView:
        failures = view.failures + 1
        wait = replica.backoff(failures, pod)
        return replace(
            view, loading=None, awaits_read_back=False, failures=failures, retry_at=now + wait, error=message,
            code=code, failure=message, failure_code=code, read_at=NEVER,
            ended_at=view.ended_at if view.failures else now,
        )  # fmt: skip

    return replica.with_pod(pod, change)


def _lost(replica: Replica, pod: str, view: PodView, message: str, now: float) -> PodView:
    """A pod does not answer. While it loads, or has not served for long enough, that is a failure, too."""
    gone = replace(
        view, reading=None, read_at=now, known=True, lost=True, loading=None, awaits_read_back=False,
        reading_now=False, overtaken=False, loads_another="", error=message, code="",
    )  # fmt: skip
    settles_until = view.ended_at + replica.policy.rollover_of(view.traits.fleet).min_ready_seconds
    settles = view.ordered_at > NEVER and now < settles_until and replica.confirms(view)
    if view.loading is None and not settles:
        return gone
    failures = view.failures + 1
    return replace(
        gone, failures=failures, retry_at=now + replica.backoff(failures, pod), failure=message, failure_code="lost",
        ended_at=view.ended_at if view.failures else now,
    )  # fmt: skip


def _on_read(replica: Replica, reading: PodReading, now: float) -> Replica:
    view = replica.pods.get(reading.pod)
    if view is None:
        return replica
    if reading.epoch is not None and reading.epoch > replica.facts.saved.epoch:
        replica = replace(replica, pending=replace(replica.pending, suspects_owner=True))
    if reading.generation is not None and reading.generation > replica.generation:
        replica = replace(replica, pending=replace(replica.pending, suspects_log=True))
    order, awaited = view.loading, view.awaits_read_back and not view.overtaken
    seen = replace(
        view,
        reading=reading, read_at=now, known=True, lost=False, reading_now=False, overtaken=False,
        awaits_read_back=view.awaits_read_back and not awaited,
        loading=None if awaited else order,
        error="" if view.lost else view.error,
        code="" if view.lost else view.code,
        loads_another="" if reading.gapless else view.loads_another,
    )  # fmt: skip
    if order is not None and awaited:
        if message := _contradicts(order, reading):
            replica = replica.with_pod(reading.pod, lambda _: seen)
            replica = _load_failed(replica, reading.pod, "unconfirmed", message, now)
            return replica.with_pod(reading.pod, lambda v: replace(v, read_at=now))
        seen = replace(seen, obeyed=max(seen.obeyed, order.generation))
    if replica.confirms(seen):
        first = view.ended_at == NEVER or view.ended_at < view.ordered_at
        seen = replace(seen, error="", code="", failure="", failure_code="", ended_at=now if first else view.ended_at)
        # One that serves what it should, and refuses to learn of its new owner, is not asked again without a pause.
        if reading.epoch is None or reading.epoch >= replica.facts.saved.epoch:
            seen = replace(seen, failures=0, retry_at=NEVER)
    return replica.with_pod(reading.pod, lambda _: seen)


def _contradicts(order: LoadOrder, reading: PodReading) -> str:
    """Why a pod does not serve what it reports as loaded; "": it may. Else it would be ordered again and again.

    A pod that names neither digest nor generation is believed by its version.
    """
    said = f"reported that it serves {order.version}, but read back "
    if reading.version != order.version:
        return said + ("no version" if reading.version is None else f"{reading.version}")
    if reading.manifest_digest not in {None, order.manifest_digest}:
        return said + f"other bytes under that number: {reading.manifest_digest}"
    if reading.proof not in CONFIRMING:
        return said + "only what lies on its disk, which does not prove what it serves"
    pair = (reading.epoch, reading.generation)
    if reading.generation is not None and reading.epoch is not None and pair < (order.epoch, order.generation):
        return said + f"the older order (epoch {reading.epoch}, generation {reading.generation})"
    return ""
