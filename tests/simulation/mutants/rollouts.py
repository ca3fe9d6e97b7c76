"""What a region must not leave out where rollouts are concerned, each taken out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from modelcast.agents.region.decider import next_effects
from modelcast.agents.region.ownership.state_parts import StateParts
from modelcast.agents.region.traffic.decider import absorb_traffic, shares
from modelcast.schemas.region_memory import Memory
from tests.simulation.invariants import CLEAN_IN_TIME, CONVERGES, RESTART_CHANGES_NOTHING
from tests.simulation.mutants.checks import Mutant
from tests.simulation.rollout_checks import CONTROL_THERE, CUT_STAYS, GRANTED, NO_WAY_BACK
from tests.simulation.rollout_users import ROLLOUTS


@contextmanager
def _without_a_clamp_to_the_grant() -> Iterator[None]:
    with patch.object(shares, "clamp", lambda table, grant: table):
        yield


@contextmanager
def _without_the_cut_of_the_owner_before() -> Iterator[None]:
    with patch.object(StateParts, "cut", property(lambda self: None)):
        yield


@contextmanager
def _without_a_look_at_what_serves_beside() -> Iterator[None]:
    with patch.object(next_effects, "stands_beside", lambda replica, reading: True):
        yield


@contextmanager
def _without_a_plan_for_silence() -> Iterator[None]:
    with patch.object(absorb_traffic, "falls_when_blind", lambda traffic: True):
        yield


@contextmanager
def _without_letting_go() -> Iterator[None]:
    with patch.object(next_effects, "plan_unloads", lambda replica, now: (replica, [])):
        yield


@contextmanager
def _without_memory_of_rollouts() -> Iterator[None]:
    def claim(self: StateParts, registry_id: str) -> Memory:
        return self._known(self._state.claim(registry_id))

    with patch.object(StateParts, "claim", claim):
        yield


ROLLOUT_MUTANTS = (
    Mutant("clamp of shares to the grant", _without_a_clamp_to_the_grant, frozenset({GRANTED}), (ROLLOUTS,)),
    Mutant("cut of the owner before", _without_the_cut_of_the_owner_before, frozenset({CUT_STAYS}),
           (ROLLOUTS, "partition moved", "worker crashed")),
    Mutant("look at what serves beside a candidate", _without_a_look_at_what_serves_beside,
           frozenset({CONTROL_THERE}), (ROLLOUTS, "pod crashed", "pod comes", "load slow")),
    Mutant("plan for a silent controller", _without_a_plan_for_silence, frozenset({NO_WAY_BACK}), (ROLLOUTS,)),
    Mutant("letting go of candidates", _without_letting_go, frozenset({CONVERGES, CLEAN_IN_TIME}), (ROLLOUTS,)),
    Mutant("memory of rollouts", _without_memory_of_rollouts, frozenset({RESTART_CHANGES_NOTHING, CUT_STAYS}),
           (ROLLOUTS, "worker crashed")),
)  # fmt: skip
