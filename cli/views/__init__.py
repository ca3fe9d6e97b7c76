"""Commands that show something, and what they show it with."""

__all__ = ["audit", "config", "diff", "doctor", "registry", "state_source", "states", "tables"]
