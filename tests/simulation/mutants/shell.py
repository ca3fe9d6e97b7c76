"""What only the shell of a region can break, each taken out or made wrong."""

from __future__ import annotations

import asyncio
import inspect
import textwrap
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

from modelcast.agents.region import agent
from modelcast.agents.region.agent import RegionAgent
from modelcast.agents.region.decider import absorb, absorb_pods
from modelcast.agents.region.decider.events_and_effects import Event, PodsKnown, SaveFailed
from modelcast.agents.region.decider.replica import Replica
from modelcast.agents.region.decider.takeover import Pause, Takeover
from modelcast.agents.region.reporting.heartbeats import HeartbeatSender
from modelcast.agents.region.shell import replica_shell
from modelcast.agents.region.shell.effects import EffectRunner
from modelcast.agents.region.shell.reconciler import Reconciler
from modelcast.consumers.pod_clients.port import Pod
from modelcast.schemas.errors import ModelcastError
from modelcast.schemas.region_memory import Memory
from tests.simulation.comings_and_goings import (
    FLOOD_IS_CHEAP,
    LOADS_ARE_AWAITED,
    ONLY_KNOWN_MODELS,
    ONLY_PODS_THERE,
    STOPPING_BEGINS_NOTHING,
    WHOSE_ANSWER,
)
from tests.simulation.invariants import (
    ACCEPTED_NEVER_FALLS,
    CLEAN_IN_TIME,
    CONVERGES,
    NOT_OVERDUE,
    OVER_IS_OVER,
    REPLACED_IS_POWERLESS,
)
from tests.simulation.mutants.checks import Mutant, without_turns

GUARD = "self._stopped or "
IMPATIENT_SECONDS = 1.0


@contextmanager
def _without_an_end_of_the_reconciler() -> Iterator[None]:
    with patch.object(Reconciler, "_end", lambda self, reason: None):
        yield


@contextmanager
def _without_a_guard_against_late_answers() -> Iterator[None]:
    source = textwrap.dedent(inspect.getsource(Reconciler._feed))
    assert source.count(GUARD) == 1
    made: dict[str, object] = {}
    exec(source.replace(GUARD, ""), vars(replica_shell), made)  # the method itself, but for its guard
    with patch.object(Reconciler, "_feed", made["_feed"]):
        yield


@contextmanager
def _without_timers_of_the_reconciler() -> Iterator[None]:
    with patch.object(Reconciler, "_set_timer", lambda self, now: None):
        yield


@contextmanager
def _without_waiting_for_a_save() -> Iterator[None]:
    real = EffectRunner.save

    async def save(self: EffectRunner, memory: Memory) -> Event:
        try:
            async with asyncio.timeout(IMPATIENT_SECONDS):  # its thread goes on
                return await real(self, memory)
        except TimeoutError:
            return SaveFailed("no answer in time")

    with patch.object(EffectRunner, "save", save), without_turns():
        yield


@contextmanager
def _without_a_hold_of_what_stops() -> Iterator[None]:
    with patch.object(Reconciler, "hold", lambda self: None):
        yield


@contextmanager
def _without_waiting_for_loads() -> Iterator[None]:
    async def at_once(self: Reconciler) -> None:
        return

    with patch.object(Reconciler, "settle_loads", at_once):
        yield


@contextmanager
def _without_a_look_at_who_answers() -> Iterator[None]:
    async def asked(self: EffectRunner, name: str, ask: Callable[[Pod], Awaitable[Event]]) -> Event | None:
        pod = self._ports.pods.get(name)
        return await ask(pod) if pod is not None else None

    with patch.object(EffectRunner, "_asked", asked):
        yield


@contextmanager
def _without_news_of_pods() -> Iterator[None]:
    with patch.object(RegionAgent, "pods_changed", lambda self, known: None):
        yield


@contextmanager
def _without_forgetting_pods_that_left() -> Iterator[None]:
    def on_pods_known(replica: Replica, event: PodsKnown) -> Replica:
        names = tuple(sorted({*replica.pods, *event.names}))
        return absorb_pods.on_pods_known(replica, replace(event, names=names))

    with patch.object(absorb, "on_pods_known", on_pods_known):
        yield


@contextmanager
def _without_a_trial_of_announced_models() -> Iterator[None]:
    real = Reconciler.start

    def start(self: Reconciler, registry_id: str, *, known_to_exist: bool) -> None:
        real(self, registry_id, known_to_exist=True)

    with patch.object(Reconciler, "start", start):
        yield


@contextmanager
def _without_a_bound_of_trials() -> Iterator[None]:
    with patch.object(agent, "TRIALS_AT_ONCE", 10_000):
        yield


@contextmanager
def _without_heartbeats() -> Iterator[None]:
    with patch.object(HeartbeatSender, "beat", lambda self, draining=False: None):
        yield


@contextmanager
def _without_another_claim() -> Iterator[None]:
    def claim_failed(self: Takeover, error: ModelcastError) -> Takeover:
        return replace(self, failures=1, todo=Pause(1e9))

    with patch.object(Takeover, "claim_failed", claim_failed):
        yield


SHELL_MUTANTS = (
    Mutant("end of a reconciler that was replaced", _without_an_end_of_the_reconciler, frozenset({OVER_IS_OVER})),
    Mutant("guard against answers after the takeover", _without_a_guard_against_late_answers,
           frozenset({OVER_IS_OVER}),
           ("partition moved at a load", "load slow", "read late")),
    Mutant("timer of a reconciler", _without_timers_of_the_reconciler,
           frozenset({NOT_OVERDUE, CONVERGES, CLEAN_IN_TIME})),
    Mutant("waiting for a save that is late", _without_waiting_for_a_save,
           frozenset({ACCEPTED_NEVER_FALLS, REPLACED_IS_POWERLESS}),
           ("state put slow", "state put late", "worker crashed")),
    Mutant("heartbeats", _without_heartbeats, frozenset({CONVERGES})),
    Mutant("hold of a worker that stops", _without_a_hold_of_what_stops, frozenset({STOPPING_BEGINS_NOTHING})),
    Mutant("waiting for loads before the end", _without_waiting_for_loads, frozenset({LOADS_ARE_AWAITED}),
           ("worker stopped at a load",)),
    Mutant("look at who answers", _without_a_look_at_who_answers, frozenset({WHOSE_ANSWER}),
           ("pod replaced as it answers", "pod takes a name", "read late")),
    Mutant("news of pods", _without_news_of_pods, frozenset({CONVERGES, CLEAN_IN_TIME, ONLY_PODS_THERE})),
    Mutant("forgetting of pods that left", _without_forgetting_pods_that_left, frozenset({ONLY_PODS_THERE}),
           ("pod leaves", "pod comes")),
    Mutant("trial of announced models", _without_a_trial_of_announced_models, frozenset({ONLY_KNOWN_MODELS}),
           ("records of made-up models",)),
    Mutant("bound of trials", _without_a_bound_of_trials, frozenset({FLOOD_IS_CHEAP}),
           ("records of made-up models",)),
    Mutant("another try after a claim that failed", _without_another_claim,
           frozenset({CONVERGES, CLEAN_IN_TIME, NOT_OVERDUE})),
)  # fmt: skip
