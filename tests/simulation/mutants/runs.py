"""All mutants, and the world in which each is noticed first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from tests.simulation.mutants.checks import MUTANTS, Mutant
from tests.simulation.mutants.rollouts import ROLLOUT_MUTANTS
from tests.simulation.mutants.shell import SHELL_MUTANTS
from tests.simulation.mutants.tracker import TRACKER_MUTANTS
from tests.simulation.run import Outcome, run_seed

ALL_MUTANTS = {mutant.name: mutant for mutant in (*MUTANTS, *SHELL_MUTANTS, *TRACKER_MUTANTS, *ROLLOUT_MUTANTS)}
SEEDS_MAX = 50
"""In which each must be noticed."""


def dies_in(mutant: Mutant, seeds: Iterable[int]) -> Outcome | None:
    """The first of these worlds that breaks what ``mutant`` must break; None: none does."""
    with mutant.apply():
        runs = (run_seed(seed, only=mutant.faults) for seed in seeds)
        return next((each for each in runs if each.invariant in mutant.breaks), None)


def table(word: str, seeds: range, processes: int) -> Iterator[tuple[str, Outcome | None]]:
    """Each mutant whose name has ``word`` in it, and the world in which it dies."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        runs = [(name, pool.submit(_dies_in, name, seeds)) for name in ALL_MUTANTS if word in name]
        yield from ((name, run.result()) for name, run in runs)


def _dies_in(name: str, seeds: range) -> Outcome | None:
    return dies_in(ALL_MUTANTS[name], seeds)
