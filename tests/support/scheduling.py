"""Which tests stay together on one worker of xdist, and which start first.

A file's tests share a worker, because they share what its fixtures made; files of ``TOGETHER`` share one, because they
take turns at something that is there once. The tests of ``SPREAD`` share nothing: each goes where there is room.
"""

from pathlib import PurePosixPath

from xdist.scheduler import LoadScopeScheduling

TOGETHER: dict[str, str] = {}
"""By folder or file: what its tests take turns at."""
SPREAD: frozenset[str] = frozenset()
FIRST: tuple[str, ...] = ()
"""Scopes that take longest, longest first: what starts last is waited for alone."""


def scope_of(nodeid: str) -> str:
    """The tests that go to the same worker share a scope."""
    file = nodeid.split("::", 1)[0]
    if file in SPREAD:
        return nodeid
    return next((TOGETHER[each] for each in (file, *map(str, PurePosixPath(file).parents)) if each in TOGETHER), file)


def rank(nodeid: str) -> int:
    """The smaller, the sooner."""
    scope, file = scope_of(nodeid), nodeid.split("::", 1)[0]
    return next((n for n, first in enumerate(FIRST) if first in (scope, file)), len(FIRST))


class ByScope(LoadScopeScheduling):
    """Hands scopes to workers in the order of the collection."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)
