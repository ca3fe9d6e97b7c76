"""The simulation is worth something: without any one of the checks that carry the invariants it fails."""

import pytest

from tests.simulation.mutants.checks import Mutant
from tests.simulation.mutants.runs import ALL_MUTANTS, SEEDS_MAX, dies_in, seeds_for


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "mutant", [pytest.param(mutant, id=name.replace(" ", "-")) for name, mutant in ALL_MUTANTS.items()]
)
def test_without_this_check_an_invariant_breaks(mutant: Mutant) -> None:
    assert dies_in(mutant, seeds_for(mutant)), f"{SEEDS_MAX} worlds did not notice that there is no {mutant.name}"
