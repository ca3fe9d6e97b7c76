"""What the owner of one model in one region knows and decides: pure, no I/O, ``now`` is passed in."""

__all__ = [
    "events_and_effects",
    "knowledge",
    "lane",
    "log_demand",
    "policy",
    "replica",
    "rollover",
    "rollover_policy",
    "snapshots",
    "step",
    "takeover",
]
