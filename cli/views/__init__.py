"""Commands that show something, and what they show it with."""

__all__ = ["config", "diff", "registry", "state_source", "states", "tables"]
