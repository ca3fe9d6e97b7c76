"""Which pods get their order now: one function of what is known of them, the policy and the time.

It is stateless, as TensorFlow Serving's ``AspiredVersionPolicy`` is: a worker that takes over a rollover goes on
where it stands, for that can be read from the pods.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from modelcast.agents.region.decider.knowledge import NEVER
from modelcast.agents.region.decider.rollover.pod_facts import Decision, Need, PodFacts
from modelcast.agents.region.decider.rollover_policy import RolloverPolicy

NAMES_SHOWN = 3


def decide(
    pods: Sequence[PodFacts],
    policy: RolloverPolicy,
    now: float,
    *,
    hurried: bool = False,
    began_at: float = NEVER,
    seed: str = "",
) -> Decision:
    """The orders of this moment.

    Args:
        pods: all pods of one fleet.
        policy: theirs.
        now: seconds, any monotonic clock.
        hurried: pauses are left out, as for a rollback; minimum healthy never is.
        began_at: when the first pod could have been ordered; NEVER: the deadline does not count.
        seed: what draws are drawn from: another for each model and generation.
    """
    if stops := _why_stopped(pods, policy, now, began_at):
        return Decision(stops=stops)
    limits = _limits(pods, policy, now, hurried, seed)
    waiting = sorted((p for p in pods if _waits(p)), key=lambda p: _rank(p, policy, seed))
    orders = []
    for pod in waiting:
        if pod.startable and not pod.loads_another and limits.allow(pod, now):
            limits.ordered(pod, now)
            orders.append(pod.name)
    begun = set(orders)
    held = [p for p in waiting if p.name not in begun]
    decision = _explained(tuple(orders), held, pods, limits, now)
    if policy.deadline_seconds and began_at > NEVER and (held or any(p.loading for p in pods)):
        return replace(decision, ask_again_at=min(decision.ask_again_at, began_at + policy.deadline_seconds))
    return decision


@dataclass(slots=True)
class _Limits:
    """What may still be ordered at this moment; it shrinks with each order."""

    policy: RolloverPolicy
    seed: str
    jitters: bool
    under_way: Sequence[PodFacts]
    adoptions: int  # that may begin
    loads: int
    swaps: int  # of the loads, those of pods that serve
    healthy: int
    healthy_min: int
    pods: int
    zone: str | None  # None: any
    opens_at: float  # when the pause before the next batch ends
    next_at: float  # when the jitter after the last order ends
    begun: list[str] = field(default_factory=list)  # loads ordered at this moment

    def allow(self, pod: PodFacts, now: float) -> bool:
        if pod.need is Need.AUTHORITY:
            return self.adoptions > 0
        if pod.need is Need.ANYTHING:
            return self.loads > 0
        if self.swaps <= 0 or self.loads <= 0 or now < max(self.opens_at, self.next_at):
            return False
        return self.zone in {None, pod.zone} and not self.is_needed(pod)

    def is_needed(self, pod: PodFacts) -> bool:
        """Whether it must go on taking traffic, and could not while it is swapped."""
        return pod.healthy and not pod.gapless and self.healthy <= self.healthy_min

    def ordered(self, pod: PodFacts, now: float) -> None:
        if pod.need is Need.AUTHORITY:
            self.adoptions -= 1
            return
        self.begun.append(pod.name)
        self.loads -= 1
        self.swaps -= 1
        if pod.need is Need.VERSION:
            self.healthy -= pod.healthy and not pod.gapless
            if self.jitters:
                self.next_at = now + _jitter(self.policy, self.seed, pod.name)


def _limits(pods: Sequence[PodFacts], policy: RolloverPolicy, now: float, hurried: bool, seed: str) -> _Limits:
    most = policy.at_once_of(len(pods))
    loading = [p for p in pods if p.loading and p.need is not Need.AUTHORITY]
    settling = [] if hurried else [p for p in pods if _settles(p, policy, now)]
    under_way = [*loading, *settling]
    swaps, opens_at, next_at = most - len(under_way), NEVER, NEVER
    if policy.pause_seconds and not hurried:
        batch = _batch(pods, policy) if under_way else []
        in_batch = {p.name for p in batch}
        swaps = min(swaps, most - len(batch))
        ends = [p.ended_at for p in pods if p.name not in in_batch]
        opens_at = max(ends, default=NEVER) + policy.pause_seconds
    if policy.jitter_seconds and not hurried and pods:
        last = max(pods, key=lambda p: (p.ordered_at, p.name))
        next_at = last.ordered_at + _jitter(policy, seed, last.name)
    out = sum(p.healthy and not p.gapless for p in loading)
    return _Limits(
        policy,
        seed,
        jitters=bool(policy.jitter_seconds) and not hurried,
        under_way=under_way,
        adoptions=most - sum(p.loading and p.need is Need.AUTHORITY for p in pods),
        loads=most - len(loading),
        swaps=swaps,
        healthy=sum(p.healthy for p in pods) - out,
        healthy_min=policy.min_healthy.of(len(pods)),
        pods=len(pods),
        zone=_zone(pods, under_way) if policy.order == "zone" else None,
        opens_at=opens_at,
        next_at=next_at,
    )


def _waits(pod: PodFacts) -> bool:
    return pod.need is not Need.NOTHING and not pod.loading and not pod.lost


def _settles(pod: PodFacts, policy: RolloverPolicy, now: float) -> bool:
    """Whether it serves the version, but not for long enough."""
    done = pod.need is Need.NOTHING and not pod.loading and not pod.lost and not pod.failures
    return done and now < pod.ended_at + policy.min_ready_seconds


def _batch(pods: Sequence[PodFacts], policy: RolloverPolicy) -> list[PodFacts]:
    """The pods that were ordered one after the other since there last was a moment with none under way."""
    batch: list[PodFacts] = []
    until = NEVER
    for pod in sorted((p for p in pods if p.ordered_at > NEVER), key=lambda p: p.ordered_at):
        if pod.ordered_at > until:
            batch = []
        batch.append(pod)
        ended_at = float("inf") if pod.loading else pod.ended_at + policy.min_ready_seconds
        until = max(until, pod.ordered_at + policy.jitter_seconds, ended_at + policy.jitter_seconds)
    return batch


def _zone(pods: Sequence[PodFacts], under_way: Sequence[PodFacts]) -> str | None:
    """The zone whose turn it is. One in which pods only fail, or do not answer, holds up no other."""
    open_zones = {p.zone for p in pods if _waits(p) and p.need is Need.VERSION and not p.failures}
    return min(open_zones | {p.zone for p in under_way}, default=None)


def _rank(pod: PodFacts, policy: RolloverPolicy, seed: str) -> tuple[object, ...]:
    """The order of pods: those that serve nothing first, those that failed last."""
    drawn = _draw(seed, pod.name) if policy.order == "random" else 0.0
    zone = pod.zone if policy.order == "zone" else ""
    return (pod.need is Need.VERSION, pod.failures, zone, drawn, pod.name)


def _draw(seed: str, name: str) -> float:
    """A number from 0 up to 1 that is always the same for one pod and seed."""
    return int.from_bytes(blake2b(f"{seed}/{name}".encode(), digest_size=4).digest()) / 2**32


def _jitter(policy: RolloverPolicy, seed: str, name: str) -> float:
    return policy.jitter_seconds * _draw(f"{seed}/jitter", name)


# --- stopping, and saying why ------------------------------------------------------------------------------


def _why_stopped(pods: Sequence[PodFacts], policy: RolloverPolicy, now: float, began_at: float) -> str:
    failed = sorted((p for p in pods if p.failure), key=lambda p: p.name)
    if 0 < policy.stop_after_failures <= len(failed):
        also = f" (and {_names(p.name for p in failed[1:])})" if failed[1:] else ""
        return f"{failed[0].name} failed: {failed[0].failure}{also}"
    late = policy.deadline_seconds and began_at > NEVER and now >= began_at + policy.deadline_seconds
    left = [p for p in pods if _waits(p) or (p.loading and p.need is not Need.AUTHORITY)]
    if late and left:
        done = len(pods) - len(left) - sum(p.lost for p in pods)
        return f"{done} of {len(pods)} pods had it after {policy.deadline_seconds:g} s (deadline_seconds)"
    return ""


def _explained(
    orders: tuple[str, ...], held: Sequence[PodFacts], pods: Sequence[PodFacts], limits: _Limits, now: float
) -> Decision:
    """The orders with the first of the reasons why the others are not among them."""
    policy = limits.policy
    settled_at = [p.ended_at + policy.min_ready_seconds for p in limits.under_way if not p.loading]
    pauses = [at for at in (limits.opens_at, limits.next_at, *settled_at) if at > now]
    asked_at = min(pauses, default=float("inf")) if held else float("inf")
    swaps = [p for p in held if p.need is Need.VERSION]
    needed = [p for p in swaps if limits.is_needed(p)]
    if needed and limits.healthy_min >= limits.pods:
        what = (
            f"min_healthy = {policy.min_healthy} of {limits.pods} pods lets none be swapped, and a swap has a gap "
            f"there: lower it, or add pods"
        )
        return Decision(orders, what, ask_again_at=asked_at, blocked=True)
    if needed:
        lost = [p.name for p in pods if p.lost]
        silent = f"; no answer from {_names(lost)}" if lost else ""
        what = f"{limits.healthy} of {limits.pods} pods take traffic, {limits.healthy_min} must (min_healthy){silent}"
        return Decision(orders, what, ask_again_at=asked_at)
    if swaps and now < limits.opens_at:
        return Decision(orders, "paused between two batches", limits.opens_at, asked_at)
    return Decision(orders, _awaited(held, limits), ask_again_at=asked_at)


def _awaited(held: Sequence[PodFacts], limits: _Limits) -> str:
    """For which pods the held ones wait."""
    busy = [p for p in held if p.loads_another]
    if busy and len(busy) == len(held):
        return f"waits for {busy[0].name}, which loads {busy[0].loads_another}"
    if held and all(p.failures and not p.startable for p in held):
        return f"{_names(p.name for p in held)} failed, to be tried again"
    names = [*(p.name for p in limits.under_way), *limits.begun]
    if not held or not names:
        return ""
    return f"waits for {_names(names)}" + (f" in zone {limits.zone}" if limits.zone else "")


def _names(names: Iterable[str]) -> str:
    """``a, b, c and 7 more``."""
    listed = sorted(names)
    more = f" and {len(listed) - NAMES_SHOWN} more" if len(listed) > NAMES_SHOWN else ""
    return ", ".join(listed[:NAMES_SHOWN]) + more
