"""The registry log: what an entry does to what regions should serve. Pure."""

__all__ = [
    "audit",
    "chain",
    "fold",
    "growing",
    "outcome_assignment",
    "region_view",
    "registry_id",
    "rollout_position",
    "rollouts",
    "statements",
    "verbs",
]
