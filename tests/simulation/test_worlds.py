"""Hundreds of worlds (a thousand in a soak) in which everything goes wrong: ARCHITECTURE.md's invariants hold."""

import os
from collections import Counter

import pytest

from modelcast.schemas.states import State
from tests.simulation.faults import RATES, STROKES
from tests.simulation.run import run_many, run_seed
from tests.support.lanes import often

SEEDS = int(os.environ.get("MODELCAST_SIMULATION_SEEDS", often(1000, 60)))
FIRST = int(os.environ.get("MODELCAST_SIMULATION_FIRST_SEED", "0"))


@pytest.mark.timeout(600 + SEEDS)
def test_whatever_goes_wrong_the_invariants_hold_and_everything_converges() -> None:
    failed, stats = [], Counter[str]()
    for outcome in run_many(range(FIRST, FIRST + SEEDS)):
        stats += outcome.stats
        if outcome.error:
            failed.append(f"seed {outcome.seed}: {outcome.error}\n    {outcome.replay}")
    assert not failed, "\n".join(failed)
    if SEEDS >= 1000:
        never = [kind for kind in (*RATES, *STROKES) if not stats[f"fault: {kind}"]]
        # A generation is superseded by another one, under which the replica then goes on.
        never += [state for state in State if state is not State.SUPERSEDED and not stats[f"state: {state}"]]
        assert not never, f"a world in which nothing of this happens proves nothing about it: {never}"


def test_a_seed_is_the_same_world_every_time() -> None:
    once, again = [], []
    run_seed(7, once.append)
    run_seed(7, again.append)
    assert once == again
    assert len(once) > 50
