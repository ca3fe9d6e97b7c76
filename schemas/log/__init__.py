"""The registry log: what an entry does to what regions should serve. Pure."""

__all__ = ["chain", "fold", "region_view", "registry_id", "statements", "verbs"]
