"""The registry log: what an entry does to what regions should serve. Pure."""

__all__ = ["fold", "region_view", "registry_id", "verbs"]
