"""Commands that show something, and what they show it with."""

__all__ = ["audit", "config", "diff", "registry", "state_source", "states", "tables"]
