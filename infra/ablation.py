"""Mechanisms that a benchmark turns off, one at a time, to measure what each of them saves."""

import os
from functools import cache

VARIABLE = "MODELCAST_BENCH_WITHOUT"
"""Comma-separated names of what is off in this process and in its children. For benchmarks and tests only."""
OWN_HTTP = "own-http"
"""Small requests to a store, and the reads of large objects, past boto3."""
DELTA = "delta"
"""Deltas from a base, chains of them included."""
CHAIN = "chain"
"""Deltas whose base is not held, and so has to be made of another first."""
COMPRESSED_WHOLE = "compressed-whole"
"""Compressed wholes."""
CHANGED_BLOCKS = "changed-blocks"
"""Blocks that other files of this machine hold."""
WAITING = "waiting"
"""A region's waiting for a delta that was announced."""
FORECAST = "forecast"
"""A publisher's forecasts, by which an announcement waits for deltas."""
PREFETCH = "prefetch"
"""What an announcement has a region ask for before it has read the log."""
WRITE_THROUGH = "write-through"
"""The region's bucket is filled while a file still arrives."""
DIRECT_WRITES = "direct-writes"
"""Large files past the page cache."""
NUMBA = "numba"
"""Compiled kernels of the codec."""
NAMES = frozenset({OWN_HTTP, DELTA, CHAIN, COMPRESSED_WHOLE, CHANGED_BLOCKS, WAITING, FORECAST, PREFETCH})
NAMES |= {WRITE_THROUGH, DIRECT_WRITES, NUMBA}
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
