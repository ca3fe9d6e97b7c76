"""Mechanisms that a benchmark turns off, one at a time, to measure what each of them saves."""

import os
from functools import cache

VARIABLE = "MODELCAST_BENCH_WITHOUT"
"""Comma-separated names of what is off in this process and in its children. For benchmarks and tests only."""
OWN_HTTP = "own-http"
"""Small requests to a store, and the reads of large objects, past boto3."""
NAMES = frozenset({OWN_HTTP})
"""All names that can stand in the variable; each has a constant above."""


def without(name: str) -> bool:
    """Whether the mechanism ``name`` is turned off in this process.

    Raises:
        ValueError: ``name``, or a name in the variable, is not one of ``NAMES``: a benchmark must not measure nothing.
    """
    named = _named(os.environ.get(VARIABLE, ""))
    if unknown := sorted((named | {name}) - NAMES):
        raise ValueError(f"{VARIABLE}: no such mechanism: {', '.join(unknown)} (there are {', '.join(sorted(NAMES))})")
    return name in named


@cache
def _named(value: str) -> frozenset[str]:
    return frozenset(filter(None, map(str.strip, value.split(","))))
