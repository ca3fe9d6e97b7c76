"""Commands that show something, and what they show it with."""

__all__ = ["config", "doctor", "registry", "state_source", "states", "tables"]
