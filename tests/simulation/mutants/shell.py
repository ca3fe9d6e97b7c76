"""What only the shell of a region can break, each taken out or made wrong."""

from __future__ import annotations

import asyncio
import inspect
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

from modelcast.agents.region.decider.events_and_effects import Event, SaveFailed
from modelcast.agents.region.decider.memory import Memory
from modelcast.agents.region.decider.takeover import Pause, Takeover
from modelcast.agents.region.reporting.heartbeats import HeartbeatSender
from modelcast.agents.region.shell import reconciler
from modelcast.agents.region.shell.effects import EffectRunner
from modelcast.agents.region.shell.reconciler import Reconciler
from modelcast.schemas.errors import ModelcastError
from tests.simulation.invariants import (
    ACCEPTED_NEVER_FALLS,
    CLEAN_IN_TIME,
    CONVERGES,
    NOT_OVERDUE,
    OVER_IS_OVER,
    REPLACED_IS_POWERLESS,
)
from tests.simulation.mutants.checks import Mutant

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
    exec(source.replace(GUARD, ""), vars(reconciler), made)  # the method itself, but for its guard
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

    with patch.object(EffectRunner, "save", save):
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
           frozenset({OVER_IS_OVER})),
    Mutant("timer of a reconciler", _without_timers_of_the_reconciler,
           frozenset({NOT_OVERDUE, CONVERGES, CLEAN_IN_TIME})),
    Mutant("waiting for a save that is late", _without_waiting_for_a_save,
           frozenset({ACCEPTED_NEVER_FALLS, REPLACED_IS_POWERLESS})),
    Mutant("heartbeats", _without_heartbeats, frozenset({CONVERGES})),
    Mutant("another try after a claim that failed", _without_another_claim,
           frozenset({CONVERGES, CLEAN_IN_TIME, NOT_OVERDUE})),
)  # fmt: skip
