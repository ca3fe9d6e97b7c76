"""Taking in what pods answer: loads that ended, readings, pods that come, leave and are lost."""

from collections.abc import Mapping
from dataclasses import replace

from modelcast.agents.region.decider.blame import blames_version, cleared, damaged, unloadable
from modelcast.agents.region.decider.events_and_effects import LoadBroken, LoadRefused, PodsKnown, PodTraits
from modelcast.agents.region.decider.knowledge import NEVER, PodView
from modelcast.agents.region.decider.replica import Replica
from modelcast.consumers.pod_clients.port import BLAMES_THE_BYTES, CONFIRMING, LoadOrder, PodReading


def on_pods_known(replica: Replica, event: PodsKnown) -> Replica:
    """Forget pods that left; a pod under a name that another had is new."""
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


def on_pods_out(replica: Replica, loads: Mapping[str, str]) -> Replica:
    pods = {
        name: replace(view, loads_another=loads.get(name, ""))
        if view.reading is not None and not view.reading.gapless
        else view
        for name, view in replica.pods.items()
    }
    return replace(replica, pods=pods)


def on_refused(replica: Replica, event: LoadRefused, now: float) -> Replica:
    pending = replica.pending
    if event.code in {"stale", "conflict", "superseded"}:
        pending = replace(pending, suspects_owner=True, suspects_log=True)
    if event.code == "stale" and event.order.generation < replica.generation:
        # The pod promised a generation that cannot be had; only a higher epoch of ours lets it serve an older one.
        pending = replace(pending, outbids=max(pending.outbids, event.order.epoch + 1))
    return _load_failed(replace(replica, pending=pending), event.pod, event.code, event.message, now)


def on_broken(replica: Replica, event: LoadBroken, now: float) -> Replica:
    digest, facts = event.order.manifest_digest, replica.facts
    if event.code in {BLAMES_THE_BYTES, "artifact_missing"}:
        facts = replace(facts, held=facts.held - {digest}, missing=facts.missing | {digest})
        replica = replace(replica, facts=facts)
        if event.code == BLAMES_THE_BYTES and not _is_proved(replica, digest):
            replica = damaged(replica, digest, event.message, waits=_others_try(replica, event))
    elif blames_version(event.code) and digest == replica.digest and not _is_proved(replica, digest):
        replica = unloadable(replica, event.message, waits=_others_try(replica, event))
    return _load_failed(replica, event.pod, event.code, event.message, now)


def _is_proved(replica: Replica, digest: str) -> bool:
    """Whether a pod serves these bytes now: what fails elsewhere meanwhile is that pod's or its machine's fault."""
    return any(replica.proves(view, digest) for view in replica.pods.values())


def _others_try(replica: Replica, event: LoadBroken) -> bool:
    """Whether one pod alone has failed so, while another still loads the same bytes: its answer is waited for."""
    others = [view for name, view in replica.pods.items() if name != event.pod]
    orders = [view.loading for view in others if view.loading is not None]
    try_it = any(order.manifest_digest == event.order.manifest_digest for order in orders)
    return try_it and not any(view.failure_code == event.code for view in others)


def _load_failed(replica: Replica, pod: str, code: str, message: str, now: float) -> Replica:
    view = replica.view_of(pod)
    failures = view.failures + 1
    failed = replace(
        view, loading=None, awaits_read_back=False, failures=failures, retry_at=now + replica.backoff(failures, pod),
        error=message, code=code, failure=message, failure_code=code, read_at=NEVER,
        ended_at=view.ended_at if view.failures else now,
    )  # fmt: skip
    return replica.with_pod(pod, failed)


def lost(replica: Replica, pod: str, view: PodView, message: str, now: float) -> PodView:
    """The pod does not answer. While it loads, or before it has served for long enough, that counts as a failure."""
    gone = replace(
        view, reading=None, read_at=now, known=True, lost=True, loading=None, awaits_read_back=False,
        reading_now=False, overtaken=False, unloading=False, loads_another="", error=message, code="",
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


def on_read(replica: Replica, reading: PodReading, now: float) -> Replica:
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
            replica = replica.with_pod(reading.pod, seen)
            replica = _load_failed(replica, reading.pod, "unconfirmed", message, now)
            return replica.with_pod(reading.pod, replace(replica.view_of(reading.pod), read_at=now))
        seen = replace(seen, obeyed=max(seen.obeyed, order.generation))
    if replica.confirms(seen):
        replica = cleared(replica)
        first = view.ended_at == NEVER or view.ended_at < view.ordered_at
        seen = replace(seen, error="", code="", failure="", failure_code="", ended_at=now if first else view.ended_at)
        # One that serves what it should, and refuses to learn of its new owner, is not asked again without a pause.
        if reading.epoch is None or reading.epoch >= replica.facts.saved.epoch:
            seen = replace(seen, failures=0, retry_at=NEVER)
    return replica.with_pod(reading.pod, seen)


def _contradicts(order: LoadOrder, reading: PodReading) -> str:
    """Why a pod does not serve what it reports as loaded; "": it may. Else it would be ordered again and again.

    A pod that names neither digest nor generation is believed by its version.
    """
    mismatch = f"reported that it serves {order.version}, but read back "
    if reading.version != order.version:
        return mismatch + ("no version" if reading.version is None else f"{reading.version}")
    if reading.manifest_digest not in {None, order.manifest_digest}:
        return mismatch + f"other bytes under that number: {reading.manifest_digest}"
    if reading.proof not in CONFIRMING:
        return mismatch + "only what lies on its disk, which does not prove what it serves"
    pair = (reading.epoch, reading.generation)
    if reading.generation is not None and reading.epoch is not None and pair < (order.epoch, order.generation):
        return mismatch + f"the older order (epoch {reading.epoch}, generation {reading.generation})"
    return ""
