"""Commands that show something, and what they show it with."""

__all__ = ["at_time", "audit", "config", "diff", "registry", "state_source", "states", "tables"]
