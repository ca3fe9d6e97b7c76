"""Which tests stay together on one worker of xdist, and which start first.

A file's tests share a worker, because they share what its fixtures made; files of ``TOGETHER`` share one, because they
take turns at something that is there once. The tests of ``SPREAD`` share nothing: each goes where there is room.
"""

from pathlib import PurePosixPath

from xdist.scheduler import LoadScopeScheduling

from tests.support.lanes import SOAK

ROAD, REGION, TRACKER = "integration: the road", "region: one worker", "tracker"
# In a quick run one stack is enough, and one Kafka for regions: to start another one costs more than to wait.
LOSSES = "integration: losses" if SOAK else ROAD
WORKERS = "region: workers" if SOAK else REGION
TOGETHER = {
    **{f"test_{name}.py": ROAD for name in ("main_road", "base_command_line", "bad_bytes", "dashboard")},
    **{f"test_{name}.py": LOSSES for name in ("exit_codes", "losses", "progress", "quarantined", "rewritten_log")},
    **{f"test_{name}.py": WORKERS for name in ("two_workers", "storms", "late_bytes")},
    **{f"test_{name}.py": REGION for name in ("region_for_real", "flood", "companions_for_real")},
    **{f"test_{name}.py": TRACKER for name in ("tracker_for_real", "tracker_losses", "forgotten_region")},
    "test_dead_letters.py": "dead letters",
}
"""By the name of a file: what its tests take turns at."""
SPREAD = frozenset(
    {
        "test_fold_properties.py",
        "test_whole.py",
        "test_kill.py",
        "test_memory.py",
        "test_forecast.py",
        "test_sampling.py",
        "test_base_install.py",
        "test_mutants.py",
        "test_worlds.py",
    }
)
FIRST = (
    ROAD,
    LOSSES,
    REGION,
    WORKERS,
    "test_kafka_tls.py",
    "test_up.py",
    TRACKER,
    "test_kafka_acls.py",
    "test_kill_rounds.py",
    "test_large_for_real.py",
    "test_large.py",
    "test_kill.py",
    "test_region_disk.py",
    "test_ended.py",
    "test_faust_positions.py",
    "test_dashboard_for_real.py",
    "test_worlds.py",
    "test_whole.py",
    "test_arriving.py",
    "test_pod_swaps.py",
    "test_interrupted.py",
    "test_memory.py",
)
"""Scopes that take longest, longest first: what starts last is waited for alone."""


def scope_of(nodeid: str) -> str:
    """The tests that go to the same worker share a scope."""
    file = nodeid.split("::", 1)[0]
    name = PurePosixPath(file).name
    return nodeid if name in SPREAD else TOGETHER.get(name, file)


def rank(nodeid: str) -> int:
    """The smaller, the sooner."""
    name = PurePosixPath(nodeid.split("::", 1)[0]).name
    keys = (name, TOGETHER.get(name))
    return next((place for place, first in enumerate(FIRST) if first in keys), len(FIRST))


class ByScope(LoadScopeScheduling):
    """Hands scopes to workers in the order of the collection."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)
