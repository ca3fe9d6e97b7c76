"""The checks that carry the invariants, each taken out: the simulation must notice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from modelcast.agents.region.decider import absorb, absorb_pods, next_effects, step
from modelcast.agents.region.decider.events_and_effects import Event, LoadBroken, Loaded, LoadRefused, PodRead
from modelcast.agents.region.decider.policy import Policy
from modelcast.agents.region.decider.replica import Replica
from modelcast.agents.region.ownership import liveness
from modelcast.agents.region.ownership.state_parts import StateTurn
from modelcast.agents.region.shell.reconciler import Reconciler
from modelcast.agents.tracker.decider import fold
from modelcast.consumers.pod.admission import fence
from modelcast.consumers.pod_clients.port import BLAMES_THE_VERSION, PodReading, PodRefused
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.stores.memory_store import MemoryStore
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.log import statements
from modelcast.schemas.log.chain import StatedEntry, chain
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.log.growing import GrowingSequence
from modelcast.schemas.ports import ObjectInfo
from modelcast.schemas.region_memory import Memory
from tests.simulation import artifacts
from tests.simulation.actors.origin import DECODED
from tests.simulation.actors.region import Bucket
from tests.simulation.invariants import (
    ACCEPTED_NEVER_FALLS,
    ALARM_SHOWN,
    ALARM_STAYS,
    CONFIRMED,
    CONVERGES,
    FLIP_TOLD,
    NEVER_BACK,
    NO_FALSE_ALARM,
    NO_FALSE_BLAME,
    NOT_REWRITTEN,
    ONLY_VERIFIED,
    REPLACED_IS_POWERLESS,
    RIGHT_OWNER_STAYS,
    STAGED_IS_VERIFIED,
)
from tests.simulation.rollovers import NEVER_TOO_FEW, NEVER_TOO_MANY, without_bounds, without_minimum_healthy


@dataclass(frozen=True, slots=True)
class Mutant:
    """A check removed, and the invariants of which at least one must be seen to break.

    ``faults``: those of the worlds in which it is looked for, where it takes a rare meeting of a few; none: any.
    """

    name: str
    apply: Callable[[], AbstractContextManager[None]]
    breaks: frozenset[str]
    faults: tuple[str, ...] = ()


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
def _without_a_look_at_the_clock_before_a_claim() -> Iterator[None]:
    with patch.object(liveness.Liveness, "stands", lambda self: True):
        yield


@contextmanager
def _without_mercy_for_an_early_reading() -> Iterator[None]:
    with patch.object(absorb, "is_overtaken", lambda replica, folded: False):
        yield


@contextmanager
def without_turns() -> Iterator[None]:
    """No call on the state object waits for the one before."""

    async def run(self: StateTurn, executor: Executor, call: Callable[[], object]) -> object:
        return await asyncio.get_running_loop().run_in_executor(executor, call)

    with patch.object(StateTurn, "run", run):
        yield


@contextmanager
def _without_turns_at_the_state_object() -> Iterator[None]:
    def never_busy(replica: Replica, now: float) -> bool:
        return now < replica.attempts.state_retry_at

    with patch.object(next_effects, "_is_busy", never_busy), without_turns():
        yield


@contextmanager
def _without_mercy_for_refused_requests() -> Iterator[None]:
    refused = absorb.on_refused

    def blames(replica: Replica, event: LoadRefused, now: float) -> Replica:
        if event.code != "request_refused":
            return refused(replica, event, now)
        return absorb.on_broken(replica, LoadBroken(event.pod, event.order, BLAMES_THE_VERSION, event.message), now)

    with patch.object(absorb, "on_refused", blames):
        yield


@contextmanager
def _without_mercy_for_the_environment() -> Iterator[None]:
    with patch.object(absorb_pods, "blames_version", lambda code: True):
        yield


@contextmanager
def _without_mercy_for_what_serves_elsewhere() -> Iterator[None]:
    with patch.object(absorb_pods, "_is_proved", lambda replica, digest: False):
        yield


@contextmanager
def _without_the_chain() -> Iterator[None]:
    def extend(self: ModelLog, stated: StatedEntry) -> ModelLog:
        log = self.apply(stated.entry)
        if log is self:
            return self
        digests = GrowingSequence.of(self.digests).plus(chain(stated.log_digest, stated.body))
        return replace(log, digests=digests)

    with patch.object(ModelLog, "extend", extend):
        yield


class _Alike(str):
    """A digest that no other one differs from."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False


@contextmanager
def _without_the_digest_of_what_is_said() -> Iterator[None]:
    DECODED.clear()  # what is read without it must not be known with it
    with patch.object(statements, "sha256_of", lambda data: _Alike(sha256_of(data))):
        yield
    DECODED.clear()


@contextmanager
def _without_a_proof_that_the_newest_entry_stands() -> Iterator[None]:
    with patch.object(RegistryReader, "check_standing", lambda self, log: None):
        yield


@contextmanager
def _without_a_whole_reading_before_an_alarm_ends() -> Iterator[None]:
    with (
        patch.object(absorb, "may_end_alarm", lambda replica, folded: True),
        patch.object(Reconciler, "alarmed", property(lambda self: False)),
    ):
        yield


@contextmanager
def _without_a_comparison_before_an_alarm_ends() -> Iterator[None]:
    real = absorb.contradiction_of

    def contradiction_of(replica: Replica, log: ModelLog) -> str:
        return real(replica, log) if replica.facts.contradiction is None else ""

    with patch.object(absorb, "contradiction_of", contradiction_of):
        yield


@contextmanager
def _without_memory_of_what_was_accepted() -> Iterator[None]:
    real = Replica.owning

    def owning(memory: Memory, policy: Policy, **options: Any) -> Replica:
        return real(replace(memory, accepted_generation=0, accepted_digest="", contradiction=None), policy, **options)

    with patch.object(Replica, "owning", staticmethod(owning)):
        yield


@contextmanager
def _without_an_alarm_in_what_the_tracker_says() -> Iterator[None]:
    with patch.object(fold, "_region_alarm", lambda log, header: ""):
        yield


REWRITINGS = ("older log restored", "log entry flipped")

MUTANTS = (
    Mutant("hash check of the region", _without_hash_check_of_the_region, frozenset({STAGED_IS_VERIFIED})),
    Mutant("hash check of the pod", _without_hash_check_of_the_pod, frozenset({ONLY_VERIFIED}),
           ("disk bytes damaged", "pod crashed")),
    Mutant("read-back", _without_read_back, frozenset({CONFIRMED})),
    Mutant("epoch check of the pod", _without_epochs_at_the_pod, frozenset({REPLACED_IS_POWERLESS}),
           ("partition moved at a load", "load request late", "revocation late")),
    Mutant("epoch check of the state", _without_conditional_puts,
           frozenset({REPLACED_IS_POWERLESS, ACCEPTED_NEVER_FALLS}),
           ("partition moved", "revocation late", "state put slow", "state put late")),
    Mutant("generation compare of the region", _without_generation_compare_of_the_region,
           frozenset({NO_FALSE_ALARM, NEVER_BACK}), ("log read overtaken",)),
    Mutant("mercy for a log read before the claim", _without_mercy_for_an_early_reading, frozenset({NO_FALSE_ALARM}),
           ("published during a claim", "partition moved", "revocation late", "announcement read late",
            "announcement redelivered")),
    Mutant("generation compare of the pod", _without_generations_at_the_pod, frozenset({NEVER_BACK}),
           ("load request late", "load slow")),
    Mutant("sleep check of a claim", _without_a_look_at_the_clock_before_a_claim, frozenset({RIGHT_OWNER_STAYS}),
           ("worker paused", "worker paused at an effect", "worker paused between two requests")),
    Mutant("one call on the state object at a time", _without_turns_at_the_state_object,
           frozenset({ACCEPTED_NEVER_FALLS}),
           ("state put slow", "state put late", "state put answer lost")),
    Mutant("mercy for refused requests", _without_mercy_for_refused_requests, frozenset({NO_FALSE_BLAME}),
           ("environment refuses a load",)),
    Mutant("mercy for the environment", _without_mercy_for_the_environment, frozenset({NO_FALSE_BLAME}),
           ("environment refuses a load",)),
    Mutant("mercy for what serves elsewhere", _without_mercy_for_what_serves_elsewhere, frozenset({NO_FALSE_BLAME}),
           ("load fails", "disk bytes damaged")),
    Mutant("chain of the log", _without_the_chain, frozenset({FLIP_TOLD, NOT_REWRITTEN, ONLY_VERIFIED, NEVER_BACK}),
           ("log entry flipped",)),
    Mutant("digest of what an entry says", _without_the_digest_of_what_is_said, frozenset({FLIP_TOLD}),
           ("log entry flipped",)),
    Mutant("proof that the newest entry stands", _without_a_proof_that_the_newest_entry_stands,
           frozenset({FLIP_TOLD, ALARM_SHOWN, NOT_REWRITTEN}), REWRITINGS),
    Mutant("whole reading before an alarm ends", _without_a_whole_reading_before_an_alarm_ends,
           frozenset({ALARM_STAYS, CONVERGES}), REWRITINGS),
    Mutant("comparison before an alarm ends", _without_a_comparison_before_an_alarm_ends,
           frozenset({ALARM_STAYS, NOT_REWRITTEN}), REWRITINGS),
    Mutant("memory of what was accepted", _without_memory_of_what_was_accepted,
           frozenset({NOT_REWRITTEN, ACCEPTED_NEVER_FALLS}),
           (*REWRITINGS, "worker crashed", "worker stopped")),
    Mutant("bounds of a rollover", without_bounds, frozenset({NEVER_TOO_MANY})),
    Mutant("minimum healthy of a rollover", without_minimum_healthy, frozenset({NEVER_TOO_FEW}),
           ("pod crashed", "load slow")),
    Mutant("comparison of regions by the tracker", _without_an_alarm_in_what_the_tracker_says,
           frozenset({ALARM_SHOWN}), ("older log restored",)),
)  # fmt: skip
