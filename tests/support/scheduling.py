"""Which tests stay together on one worker of xdist, and which start first.

A file's tests share a worker, because they share what its fixtures made; files of ``TOGETHER`` share one, because they
take turns at something that is there once. The tests of ``SPREAD`` share nothing: each goes where there is room.
"""

from pathlib import PurePosixPath

from xdist.scheduler import LoadScopeScheduling

STACK = ("bad_bytes", "base_command_line", "exit_codes", "losses", "main_road", "progress")
"""Files of ``tests/integration`` that use its stack."""

TOGETHER: dict[str, str] = {
    **{f"tests/integration/test_{name}.py": "the stack of the integration tests" for name in STACK},
    "tests/infra/test_dead_letters.py": "dead letters",
    "tests/cli/test_dead_letters.py": "dead letters",
}
"""By folder or file: what its tests take turns at."""
SPREAD = frozenset(
    {
        "tests/agents/tracker/test_fold_properties.py",
        "tests/cli/demo/test_whole.py",
        "tests/consumers/fetch/test_kill.py",
        "tests/deltas/codec/test_memory.py",
        "tests/producers/deltas/test_forecast.py",
        "tests/producers/test_base_install.py",
        "tests/simulation/test_mutants.py",
        "tests/simulation/test_worlds.py",
    }
)
FIRST = (
    "the stack of the integration tests",
    "tests/agents/region/test_two_workers.py",
    "tests/agents/tracker/test_tracker_losses.py",
    "tests/consumers/fetch/test_kill.py",
    "tests/agents/region/test_region_for_real.py",
    "tests/deltas/fetch/test_region_disk.py",
    "tests/agents/region/test_storms.py",
    "tests/agents/region/test_late_bytes.py",
    "tests/agents/tracker/test_tracker_for_real.py",
    "tests/faults/test_kill_rounds.py",
    "tests/deltas/fetch/test_large_for_real.py",
    "tests/producers/test_large.py",
    "tests/producers/test_interrupted.py",
    "tests/simulation/test_worlds.py",
    "tests/cli/demo/test_whole.py",
    "tests/infra/local/test_up.py",
    "tests/deltas/fetch/test_arriving.py",
    "tests/consumers/pod/test_pod_swaps.py",
    "tests/consumers/pod/test_pod_answers.py",
    "tests/deltas/codec/test_memory.py",
)
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
