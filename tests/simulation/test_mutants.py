"""The simulation is worth something: without any one of the checks that carry the invariants it fails."""

import pytest

from tests.simulation.mutants.checks import Mutant
from tests.simulation.mutants.runs import ALL_MUTANTS, SEEDS_MAX, dies_in

SELDOM_NOTICED = frozenset(
    {
        "chain of the log",
        "fair queue of the tracker",
        "timer of the tracker",
        "generation compare of the pod",
        "generation compare of the region",
        "mercy for refused requests",
        "comparison of regions by the tracker",
        "hash check of the pod",
        "minimum healthy of a rollover",
        "waiting for a save that is late",
    }
)
"""Mutants that take more worlds than a quick run has: for the soak."""


def one(mutant: Mutant) -> object:
    marks = [pytest.mark.soak] if mutant.name in SELDOM_NOTICED else []
    return pytest.param(mutant, id=mutant.name.replace(" ", "-"), marks=marks)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutant", map(one, ALL_MUTANTS.values()))
def test_without_this_check_an_invariant_breaks(mutant: Mutant) -> None:
    assert dies_in(mutant, range(SEEDS_MAX)), f"{SEEDS_MAX} worlds did not notice that there is no {mutant.name}"
