"""All mutants, and the worlds in which each is noticed."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from itertools import islice
from multiprocessing import get_context

from tests.simulation.mutants.checks import MUTANTS, Mutant
from tests.simulation.mutants.rollouts import ROLLOUT_MUTANTS
from tests.simulation.mutants.shell import SHELL_MUTANTS
from tests.simulation.mutants.tracker import TRACKER_MUTANTS
from tests.simulation.run import Outcome, run_seed

ALL_MUTANTS = {mutant.name: mutant for mutant in (*MUTANTS, *SHELL_MUTANTS, *TRACKER_MUTANTS, *ROLLOUT_MUTANTS)}
SEEDS_MAX = 50
"""In which each must be noticed."""
LOOKED_AT_FIRST = {
    "hash check of the region": 3,
    "hash check of the pod": 8,
    "read-back": 4,
    "epoch check of the state": 5,
    "generation compare of the region": 4,
    "mercy for a log read before the claim": 20,
    "generation compare of the pod": 26,
    "sleep check of a claim": 28,
    "one call on the state object at a time": 1,
    "mercy for refused requests": 10,
    "mercy for what serves elsewhere": 36,
    "chain of the log": 5,
    "digest of what an entry says": 5,
    "proof that the newest entry stands": 16,
    "whole reading before an alarm ends": 7,
    "comparison before an alarm ends": 4,
    "memory of what was accepted": 4,
    "bounds of a rollover": 4,
    "minimum healthy of a rollover": 20,
    "hold of a worker that stops": 5,
    "end of settling when partitions move on": 7,
    "timer of the tracker": 11,
    "another try after a claim that failed": 3,
    "guard against answers after the takeover": 2,
    "fair queue of the tracker": 35,
    "waiting for a save that is late": 9,
    "forgetting of pods that left": 3,
    "news of pods": 46,
    "order of snapshots": 1,
    "cut of the owner before": 8,
    "plan for a silent controller": 11,
    "memory of rollouts": 2,
    "letting go of candidates": 8,
    "clamp of shares to the grant": 3,
    "comparison of regions by the tracker": 4,
}
"""By the name of a mutant: a world in which it was noticed soon (``python -m tests.simulation --mutants``).

Only an order of looking: a change of the product may make another world of a seed, and then the others are looked at.
"""
COMPARED = 5
"""So many worlds in which it dies, when one of them is chosen."""


def seeds_for(mutant: Mutant) -> list[int]:
    """The worlds in which it must be noticed, the likeliest first."""
    first = LOOKED_AT_FIRST.get(mutant.name, 0)
    return [first, *(seed for seed in range(SEEDS_MAX) if seed != first)]


def deaths(mutant: Mutant, seeds: Iterable[int]) -> Generator[Outcome]:
    """The worlds that break what ``mutant`` must break."""
    with mutant.apply():
        runs = (run_seed(seed, only=mutant.faults) for seed in seeds)
        yield from (each for each in runs if each.invariant in mutant.breaks)


def dies_in(mutant: Mutant, seeds: Iterable[int]) -> Outcome | None:
    """The first of these worlds that breaks what ``mutant`` must break; None: none does."""
    with closing(deaths(mutant, seeds)) as found:
        return next(found, None)


def table(word: str, seeds: range, processes: int) -> Iterator[tuple[str, Outcome | None]]:
    """Each mutant whose name has ``word`` in it, and the world in which it dies after the fewest events, of a few."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        runs = [(name, pool.submit(_dies_soonest, name, seeds)) for name in ALL_MUTANTS if word in name]
        yield from ((name, run.result()) for name, run in runs)


def _dies_soonest(name: str, seeds: range) -> Outcome | None:
    with closing(deaths(ALL_MUTANTS[name], seeds)) as found:
        return min(islice(found, COMPARED), key=lambda each: each.events, default=None)
