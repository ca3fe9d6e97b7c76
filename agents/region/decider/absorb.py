"""Taking in: how an event changes what the replica knows. Total: an event that no longer matters changes nothing."""

from dataclasses import replace

from modelcast.agents.region.decider.absorb_pods import lost, on_broken, on_pods_known, on_pods_out, on_read, on_refused
from modelcast.agents.region.decider.blame import damaged
from modelcast.agents.region.decider.events_and_effects import (
    Contradicted,
    ControlServes,
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
    Replaced,
    Saved,
    SaveFailed,
    Tick,
    Unloaded,
    Unreadable,
)
from modelcast.agents.region.decider.knowledge import NEVER, Attempts
from modelcast.agents.region.decider.lane import baked, on_unloaded, with_log
from modelcast.agents.region.decider.replica import Replica
from modelcast.schemas.digests import short
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.region_memory import Contradiction, Memory

REASON_CHARS_MAX = 500


def absorb(replica: Replica, event: Event, now: float) -> Replica:
    """The replica after ``event``."""
    return baked(_concluded(_taken_in(replica, event, now)), now)


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
            return _on_folded(replica, event, now)
        case Unreadable(reason):
            return replace(replica, facts=replace(replica.facts, unreadable=reason))
        case Contradicted(reason):
            return _contradicted(replica, reason)
        case PodsKnown():
            return on_pods_known(replica, event)
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
            view = replica.view_of(pod)
            view = replace(view, loading=order, awaits_read_back=True, overtaken=view.reading_now)
            return replica.with_pod(pod, view)
        case LoadRefused():
            return on_refused(replica, event, now)
        case LoadBroken():
            return on_broken(replica, event, now)
        case PodRead(reading):
            return on_read(replica, reading, now)
        case PodLost(pod, message):
            return replica.with_pod(pod, lost(replica, pod, replica.view_of(pod), message, now))
        case PodBusy(pod, model):
            view = replace(replica.view_of(pod), loading=None, loads_another=model, ordered_at=NEVER)
            return replica.with_pod(pod, view)
        case PodFree(pod):
            return replica.with_pod(pod, replace(replica.view_of(pod), loads_another=""))
        case PodsOut(loads):
            return on_pods_out(replica, loads)
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
        case ControlServes(digests):
            return replace(replica, facts=replace(replica.facts, beside=digests))
        case Unloaded():
            return on_unloaded(replica, event, now)
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


def _on_folded(replica: Replica, folded: Folded, now: float) -> Replica:
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
    facts = replace(with_log(replica.facts, log, now), log_head=log.head, log_digest=log.digest_at(log.head))
    aspiration = facts.aspiration
    assert aspiration is not None
    fresh = aspiration.generation > replica.generation
    released = {q for q in facts.quarantined if aspiration.released.get(q.version, 0) > q.generation}
    forgiven = {q.manifest_digest for q in released}
    facts = replace(
        facts,
        contradiction=None,
        updates=log.updates,
        accepted_digest=log.digest_at(aspiration.generation) if aspiration.generation else "",
        quarantined=tuple(q for q in facts.quarantined if q not in released),
    )
    damages = {d: n for d, n in replica.attempts.damages.items() if d not in forgiven}
    replica = replace(replica, facts=facts, attempts=replace(replica.attempts, damages=damages))
    return _begun_anew(replica) if fresh else replica


def _begun_anew(replica: Replica) -> Replica:
    """The attempts of a new generation: it is tried at once; only failures by damaged bytes still count."""
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
        replica = damaged(replica, digest, event.message)
    facts, attempts = replica.facts, replica.attempts
    failures = attempts.failures.get(digest, 0) + 1
    attempts = replace(
        attempts,
        failures={**attempts.failures, digest: failures},
        retry_at={**attempts.retry_at, digest: now + replica.backoff(failures, digest)},
        error=event.message if digest == replica.digest else attempts.error,
    )
    return replace(replica, facts=replace(facts, held=facts.held - {digest}), attempts=attempts)
