"""The simulation is worth something: without any one of the checks that carry the invariants it fails."""

import pytest

from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.run import run_seed
from tests.simulation.tracker_mutants import TRACKER_MUTANTS

SEEDS_MAX = 300
SELDOM_NOTICED = frozenset({"one call on the state object at a time", "timer of the tracker"})
"""Mutants that take dozens of worlds: for the soak."""


def one(mutant: Mutant) -> object:
    marks = [pytest.mark.soak] if mutant.name in SELDOM_NOTICED else []
    return pytest.param(mutant, id=mutant.name.replace(" ", "-"), marks=marks)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutant", map(one, (*MUTANTS, *TRACKER_MUTANTS)))
def test_without_this_check_an_invariant_breaks(mutant: Mutant) -> None:
    with mutant.apply():
        for seed in range(SEEDS_MAX):
            outcome = run_seed(seed)
            if outcome.invariant in mutant.breaks:
                return
    pytest.fail(f"{SEEDS_MAX} worlds did not notice that there is no {mutant.name}")
