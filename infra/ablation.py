"""Mechanisms that a benchmark turns off, one at a time, to measure what each of them saves."""

import os
from dataclasses import dataclass
from functools import cache

VARIABLE = "MODELCAST_BENCH_WITHOUT"
"""Comma-separated names of what is off in this process and in its children. For benchmarks and tests only."""
OWN_HTTP = "own-http"
"""Small requests to a store, and the reads of large objects, past boto3."""
CHANGED_BLOCKS = "changed-blocks"
"""Blocks that other files of this machine hold."""
PREFETCH = "prefetch"
"""What an announcement has a region ask for before it has read the log."""
WRITE_THROUGH = "write-through"
"""The region's bucket is filled while a file still arrives."""


@dataclass(frozen=True, slots=True)
class Mechanisms:
    """What one package has that can be turned off.

    Attributes:
        package: begins all of its names, as in ``package/mechanism``; "": built in, whose names have no slash.
        names: all that can stand in the variable.
    """

    package: str
    names: frozenset[str]

    def without(self, name: str) -> bool:
        """Whether the mechanism ``name`` is turned off in this process.

        Raises:
            ValueError: ``name``, or a name of this package in the variable, is none of its ``names``: a benchmark must
                not measure nothing.
        """
        named = _named(os.environ.get(VARIABLE, ""))
        own = {each for each in named if each.rpartition("/")[0] == self.package}
        if unknown := sorted((own | {name}) - self.names):
            known = ", ".join(sorted(self.names))
            raise ValueError(f"{VARIABLE}: no such mechanism: {', '.join(unknown)} (there are {known})")
        return name in named


BUILT_IN = Mechanisms("", frozenset({OWN_HTTP, CHANGED_BLOCKS, PREFETCH, WRITE_THROUGH}))


def without(name: str) -> bool:
    """Whether a built-in mechanism is turned off in this process; raises as ``Mechanisms.without``."""
    return BUILT_IN.without(name)


@cache
def _named(value: str) -> frozenset[str]:
    return frozenset(filter(None, map(str.strip, value.split(","))))
