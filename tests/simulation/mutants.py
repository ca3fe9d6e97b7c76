"""The checks that carry the invariants, each taken out: the simulation must notice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from unittest.mock import patch

from modelcast.agents.region.decider import absorb, plan, step
from modelcast.agents.region.decider.replica import Replica
from modelcast.agents.region.decider.values import Event, Loaded, PodRead
from modelcast.agents.region.ownership import liveness
from modelcast.agents.region.shell.reconciler import Reconciler
from modelcast.agents.tracker.agent import TrackerAgent
from modelcast.agents.tracker.decider import rows, snapshots
from modelcast.agents.tracker.emitter import Emitter
from modelcast.agents.tracker.mirror import Mirror
from modelcast.consumers.pod import fence
from modelcast.consumers.pod_clients.port import PodReading, PodRefused
from modelcast.infra.redis_view import Write
from modelcast.infra.stores.memory import MemoryStore
from modelcast.schemas.ports import ObjectInfo
from modelcast.schemas.records import ModelAck
from tests.simulation import artifacts
from tests.simulation.actors.region import Bucket
from tests.simulation.invariants import (
    ACCEPTED_NEVER_FALLS,
    CLEAN_IN_TIME,
    CONFIRMED,
    CONVERGES,
    NEVER_BACK,
    NEVER_BACK_IN_THE_VIEW,
    NO_FALSE_ALARM,
    ONLY_VERIFIED,
    OVER_IS_OVER,
    REPLACED_IS_POWERLESS,
    RIGHT_OWNER_STAYS,
    SAID_SOON,
    SILENT_IS_SAID,
    SPEAKS_OF_ITS_OWN,
    STAGED_IS_VERIFIED,
)


@dataclass(frozen=True, slots=True)
class Mutant:
    """A check removed, and the invariants of which at least one must be seen to break."""

    name: str
    apply: Callable[[], AbstractContextManager[None]]
    breaks: frozenset[str]


@contextmanager
def _without_hash_check_of_the_region() -> Iterator[None]:
    with patch.object(artifacts, "is_intact", lambda stored, digest: True):
        yield


@contextmanager
def _without_hash_check_of_the_pod() -> Iterator[None]:
    with patch.object(artifacts, "verify", lambda stored, digest: None):
        yield


@contextmanager
def _without_read_back() -> Iterator[None]:
    real = absorb.absorb

    def believes(replica: Replica, event: Event, now: float) -> Replica:
        after = real(replica, event, now)
        if not isinstance(event, Loaded):
            return after
        order, view = event.order, replica.pods.get(event.pod)
        incarnation = view.reading.incarnation if view and view.reading else ""
        said = PodReading(event.pod, True, incarnation, order.version, order.manifest_digest, order.generation,
                          order.epoch, order.registry_id)  # fmt: skip
        return real(after, PodRead(said), now)

    with patch.object(step, "absorb", believes):
        yield


def _check_pair(compare: Callable[[tuple[int, int], tuple[int, int]], bool]) -> AbstractContextManager[object]:
    def check(model: str, accepted: fence.Accepted, *, epoch: int, generation: int) -> None:
        if compare((epoch, generation), (accepted.epoch, accepted.generation)):
            raise PodRefused("stale", code="stale", subject=model)

    return patch.object(fence, "check_pair", check)


@contextmanager
def _without_epochs_at_the_pod() -> Iterator[None]:
    with _check_pair(lambda new, old: new[1] < old[1]):
        yield


@contextmanager
def _without_generations_at_the_pod() -> Iterator[None]:
    with _check_pair(lambda new, old: new[0] < old[0]):
        yield


@contextmanager
def _without_conditional_puts() -> Iterator[None]:
    real = MemoryStore.put

    def put(
        self: MemoryStore, key: str, body: bytes, *, if_absent: bool = False, if_match: str | None = None
    ) -> ObjectInfo:
        if isinstance(self, Bucket):
            if_absent, if_match = False, None
        return real(self, key, body, if_absent=if_absent, if_match=if_match)

    with patch.object(MemoryStore, "put", put):
        yield


@contextmanager
def _without_generation_compare_of_the_region() -> Iterator[None]:
    with patch.object(absorb, "goes_back", lambda replica, log: False):
        yield


@contextmanager
def _without_order_of_snapshots() -> Iterator[None]:
    def take(known: snapshots.RegionRows, ack: ModelAck, raw: bytes) -> snapshots.Change:
        return snapshots.take(snapshots.EMPTY, ack, raw)

    with patch.object(rows, "take", take):
        yield


@contextmanager
def _without_a_look_at_the_clock_before_a_claim() -> Iterator[None]:
    with patch.object(liveness.Liveness, "stands", lambda self: True):
        yield


@contextmanager
def _without_an_end_of_the_reconciler() -> Iterator[None]:
    with patch.object(Reconciler, "_end", lambda self, reason: None):
        yield


@contextmanager
def _without_timers_of_the_reconciler() -> Iterator[None]:
    with patch.object(Reconciler, "_set_timer", lambda self, now: None):
        yield


@contextmanager
def _without_turns_at_the_state_object() -> Iterator[None]:
    def never_busy(replica: Replica, now: float) -> bool:
        return now < replica.attempts.state_retry_at

    with patch.object(plan, "_is_busy", never_busy):
        yield


@contextmanager
def _without_timer_of_the_tracker() -> Iterator[None]:
    async def never(self: Emitter) -> None:
        await asyncio.Event().wait()

    with patch.object(Emitter, "_tick_forever", never):
        yield


@contextmanager
def _without_order_of_writes_to_the_view() -> Iterator[None]:
    def put_back(self: Mirror, taken: Mapping[str, Write], names: Mapping[str, set[str]]) -> None:
        self._pending.update(taken)
        self._wake.set()

    with patch.object(Mirror, "_put_back", put_back):
        yield


@contextmanager
def _without_an_end_of_settling() -> Iterator[None]:
    real = TrackerAgent.revoked

    def revoked(self: TrackerAgent) -> None:
        self._settling = None
        real(self)

    with patch.object(TrackerAgent, "revoked", revoked):
        yield


@contextmanager
def _without_a_new_fence_of_a_new_owner() -> Iterator[None]:
    with patch.object(Mirror, "new_owner", lambda self: None):
        yield


@contextmanager
def _without_the_wait_of_what_is_not_due() -> Iterator[None]:
    real = Emitter._fold_waiting

    def fold_waiting(self: Emitter, now: float) -> float:
        real(self, now)
        self._rows.waiting.keep(())
        return 0.0

    with patch.object(Emitter, "_fold_waiting", fold_waiting):
        yield


MUTANTS = (
    Mutant("hash check of the region", _without_hash_check_of_the_region, frozenset({STAGED_IS_VERIFIED})),
    Mutant("hash check of the pod", _without_hash_check_of_the_pod, frozenset({ONLY_VERIFIED})),
    Mutant("read-back", _without_read_back, frozenset({CONFIRMED})),
    Mutant("epoch check of the pod", _without_epochs_at_the_pod, frozenset({REPLACED_IS_POWERLESS})),
    Mutant("epoch check of the state", _without_conditional_puts,
           frozenset({REPLACED_IS_POWERLESS, ACCEPTED_NEVER_FALLS})),
    Mutant("generation compare of the region", _without_generation_compare_of_the_region,
           frozenset({NO_FALSE_ALARM, NEVER_BACK})),
    Mutant("generation compare of the pod", _without_generations_at_the_pod, frozenset({NEVER_BACK})),
    Mutant("sleep check of a claim", _without_a_look_at_the_clock_before_a_claim, frozenset({RIGHT_OWNER_STAYS})),
    Mutant("end of a reconciler that was replaced", _without_an_end_of_the_reconciler, frozenset({OVER_IS_OVER})),
    Mutant("one call on the state object at a time", _without_turns_at_the_state_object,
           frozenset({ACCEPTED_NEVER_FALLS})),
    Mutant("timer of a reconciler", _without_timers_of_the_reconciler, frozenset({CONVERGES, CLEAN_IN_TIME})),
    Mutant("order of snapshots", _without_order_of_snapshots, frozenset({REPLACED_IS_POWERLESS})),
    Mutant("timer of the tracker", _without_timer_of_the_tracker, frozenset({SILENT_IS_SAID, CONVERGES})),
    Mutant("order of writes to the view", _without_order_of_writes_to_the_view, frozenset({NEVER_BACK_IN_THE_VIEW})),
    Mutant("end of settling when partitions move on", _without_an_end_of_settling, frozenset({SPEAKS_OF_ITS_OWN})),
    Mutant("new fence of a new owner", _without_a_new_fence_of_a_new_owner,
           frozenset({CONVERGES, NEVER_BACK_IN_THE_VIEW})),
    Mutant("backlog of models that are not due", _without_the_wait_of_what_is_not_due,
           frozenset({SAID_SOON, CONVERGES})),
)  # fmt: skip
