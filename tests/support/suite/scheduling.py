"""Which tests stay together on one worker of xdist, and which start first. Files are named by their paths below tests.

A file's tests share a worker, because they share what its fixtures made; files of ``TOGETHER`` share one, because they
take turns at something that is there once. The tests of ``SPREAD`` share nothing: each goes where there is room.
"""

from xdist.scheduler import LoadScopeScheduling

from tests.support.lanes import SOAK

TESTS = "tests/"
ROAD, REGION, TRACKER = "integration: the road", "region: one worker", "tracker"
# In a quick run one stack is enough, and one Kafka for regions: to start another one costs more than to wait.
LOSSES = "integration: losses" if SOAK else ROAD
WORKERS = "region: workers" if SOAK else REGION
TOGETHER = {
    **{
        f"integration/{name}.py": ROAD
        for name in ("test_main_road", "packaging/test_base_command_line", "test_bad_bytes", "test_dashboard")
    },
    **{
        f"integration/test_{name}.py": LOSSES
        for name in ("exit_codes", "losses", "progress", "quarantined", "rewritten_log")
    },
    **{f"agents/region/for_real/test_{name}.py": WORKERS for name in ("two_workers", "storms", "late_bytes")},
    **{
        f"agents/region/for_real/test_{name}.py": REGION
        for name in (
            "region_for_real", "flood", "companions_for_real", "fleets_for_real", "rollover_for_real",
            "watching_program",
        )
    },
    **{
        f"agents/tracker/{name}.py": TRACKER
        for name in (
            "for_real/test_tracker_for_real", "for_real/test_tracker_losses", "for_real/test_forgotten_region",
            "test_history_for_real",
        )
    },
    "infra/kafka/test_dead_letters.py": "dead letters",
    "cli/commands/test_dead_letters.py": "dead letters",
}  # fmt: skip
"""By the path of a file: what its tests take turns at."""
SPREAD = frozenset(
    {
        "agents/tracker/decider/test_fold_properties.py",
        "cli/demo/test_whole.py",
        "consumers/fetch/test_kill.py",
        "deltas/codec/test_memory.py",
        "deltas/codec/test_sampling.py",
        "producers/test_base_install.py",
        "simulation/test_mutants.py",
        "simulation/test_worlds.py",
    }
)
FIRST = (
    "infra/monitoring/test_real_faults.py",
    ROAD,
    LOSSES,
    REGION,
    WORKERS,
    "integration/test_kafka_tls.py",
    "infra/local/test_up.py",
    TRACKER,
    "integration/test_kafka_acls.py",
    "faults/test_kill_rounds.py",
    "deltas/fetch/test_large_for_real.py",
    "deltas/publish/test_large.py",
    "producers/publish/test_large.py",
    "deltas/fetch/test_kill_by_delta.py",
    "consumers/companion/engines/test_mlserver.py",
    "integration/test_walkthroughs.py",
    "consumers/companion/engines/test_kserve.py",
    "dashboard/browser/test_accessible.py",
    "dashboard/browser/test_pages.py",
    "consumers/companion/engines/test_triton.py",
    "infra/monitoring/test_alerts.py",
    "consumers/fetch/test_kill.py",
    "cli/doctor/test_doctor_for_real.py",
    "deltas/fetch/test_region_disk.py",
    "cli/demo/test_ended.py",
    "infra/kafka/test_faust_positions.py",
    "dashboard/test_dashboard_for_real.py",
    "simulation/test_worlds.py",
    "cli/demo/test_whole.py",
    "deltas/fetch/test_arriving.py",
    "consumers/pod/server/test_pod_swaps.py",
    "producers/publish/test_interrupted.py",
    "deltas/codec/test_memory.py",
)
"""Scopes that take longest, longest first: what starts last is waited for alone."""


def path_of(nodeid: str) -> str:
    """The path of a test's file below ``tests``."""
    return nodeid.split("::", 1)[0].removeprefix(TESTS)


def scope_of(nodeid: str) -> str:
    """The tests that go to the same worker share a scope."""
    path = path_of(nodeid)
    return nodeid if path in SPREAD else TOGETHER.get(path, path)


def rank(nodeid: str) -> int:
    """The smaller, the sooner."""
    path = path_of(nodeid)
    keys = (path, TOGETHER.get(path))
    return next((place for place, first in enumerate(FIRST) if first in keys), len(FIRST))


class ByScope(LoadScopeScheduling):
    """Hands scopes to workers in the order of the collection."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)
