"""The registry log: what an entry does to what regions should serve. Pure."""

__all__ = ["audit", "chain", "fold", "region_view", "registry_id", "statements", "verbs"]
