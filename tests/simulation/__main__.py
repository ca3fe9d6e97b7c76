"""``python -m tests.simulation``: many seeds, or one with its trace."""

import argparse
import sys
import time
from collections import Counter

from tests.simulation.faults import RATES, STROKES
from tests.simulation.mutants.runs import table
from tests.simulation.run import Outcome, run_many, run_seed


def main() -> int:
    """Run, and say what failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--trace", action="store_true", help="with --seed: one line for each event")
    parser.add_argument("--stats", action="store_true", help="how often each fault, state and effect was met")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--mutants", metavar="WORD", nargs="?", const="", help="where each mutant dies")
    arguments = parser.parse_args()
    if arguments.mutants is not None:
        return _mutants(arguments)
    if arguments.seed is not None:
        outcome = run_seed(arguments.seed, print if arguments.trace else None)
        print(
            outcome.error
            or f"seed {outcome.seed}: all held, {outcome.events} events, converged in {outcome.peace:.0f} s"
        )
        return 1 if outcome.error else 0
    return _many(arguments)


def _mutants(arguments: argparse.Namespace) -> int:
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    lives = 0
    for name, outcome in table(arguments.mutants, seeds, arguments.processes):
        lives += outcome is None
        dies = f"{outcome.seed:6}  {outcome.invariant}" if outcome else "  none"
        print(f"{name:50}{dies}", flush=True)
    return 1 if lives else 0


def _many(arguments: argparse.Namespace) -> int:
    begun = time.monotonic()
    stats: Counter[str] = Counter()
    failed: list[Outcome] = []
    events = seeds = 0
    peace = 0.0
    for outcome in run_many(range(arguments.first, arguments.first + arguments.seeds), arguments.processes):
        seeds += 1
        events += outcome.events
        peace = max(peace, outcome.peace)
        stats += outcome.stats
        if outcome.error:
            failed.append(outcome)
            print(f"seed {outcome.seed}: {outcome.error}\n    {outcome.replay}", flush=True)
    seconds = time.monotonic() - begun
    print(f"{seeds} seeds in {seconds:.1f} s ({seeds / seconds:.1f}/s), {events / seeds:.0f} events each, "
          f"longest convergence {peace:.0f} s, {len(failed)} failed")  # fmt: skip
    for invariant, count in Counter(o.invariant for o in failed).most_common():
        print(f"  {count:5}  {invariant}")
    if arguments.stats:
        for name in sorted({*stats, *(f"fault: {kind}" for kind in (*RATES, *STROKES))}):
            print(f"  {stats[name]:8}  {name}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
