"""When a generation came how far in this region, and the spans that follow: what a waterfall is drawn from. Pure."""

from dataclasses import dataclass

from modelcast.agents.region.decider.events_and_effects import Transfer
from modelcast.schemas.records import StageSpan
from modelcast.schemas.states import State

SPANS_MAX = 16
NOT_YET = float("-inf")


@dataclass(frozen=True, slots=True)
class Milestones:
    """When the generation that is aspired first came so far, on the decider's clock; ``NOT_YET``: it has not.

    Attributes:
        generation: it.
        accepted_at: the log was read up to it.
        fetch_at: its bytes were asked for.
        arrived_at: they were verified in the region.
        load_at: a pod had its order.
        settled_at: every pod was read back with it.
    """

    generation: int = 0
    accepted_at: float = NOT_YET
    fetch_at: float = NOT_YET
    arrived_at: float = NOT_YET
    load_at: float = NOT_YET
    settled_at: float = NOT_YET

    def seen(self, generation: int, state: State, in_region: bool, now: float) -> "Milestones":
        """As it stands once a generation is in ``state`` at ``now``."""
        if generation != self.generation:
            return Milestones(generation, now).seen(generation, state, in_region, now)
        loads = state is State.LOADING or state is State.SERVING
        after = Milestones(
            generation,
            self.accepted_at,
            _first(self.fetch_at, state is State.FETCHING, now),
            _first(self.arrived_at, in_region, now),
            _first(self.load_at, loads, now),
            _first(self.settled_at, state is State.SERVING, now),
        )
        return self if after == self else after


def _first(at: float, is_so: bool, now: float) -> float:
    return now if is_so and at == NOT_YET else at


def spans(milestones: Milestones, transfer: Transfer, now_us: int, now: float) -> tuple[int, tuple[StageSpan, ...]]:
    """When the region accepted the generation (its clock, UTC microseconds; 0: not known), and the stages since.

    ``now_us`` and ``now`` are the same instant on two clocks.
    """
    if milestones.accepted_at == NOT_YET:
        return 0, ()
    since_us = now_us - int((now - milestones.accepted_at) * 1_000_000)

    def ms(at: float) -> int:
        return round((at - milestones.accepted_at) * 1000)

    found: list[StageSpan] = []
    steps = ((milestones.fetch_at, milestones.arrived_at, "fetch"), (milestones.load_at, milestones.settled_at, "load"))
    begun = [at for at in (milestones.fetch_at, milestones.arrived_at) if at > NOT_YET]
    if begun and min(begun) > milestones.accepted_at:
        found.append(StageSpan("wait", 0, ms(min(begun)), ms(min(begun))))
    for began_at, ended_at, stage in steps:
        if began_at > NOT_YET and ended_at != began_at:
            ended = ms(ended_at) if ended_at > NOT_YET else None
            found.append(StageSpan(stage, ms(began_at), ended, max(0, (ended or ms(began_at)) - ms(began_at))))
    for stage, (begun_us, ended_us) in sorted(transfer.stage_times_us.items(), key=lambda each: each[1]):
        busy_ms = round(transfer.stage_seconds.get(stage, 0.0) * 1000)
        span = StageSpan(stage[:32], (begun_us - since_us) // 1000, (ended_us - since_us) // 1000, busy_ms)
        if len(found) < SPANS_MAX and span.ended_ms is not None and span.ended_ms >= 0:
            found.append(span)  # what was fetched for an earlier generation is no part of this one
    return since_us, tuple(found)
