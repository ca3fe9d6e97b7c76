"""The shares of a rollout's candidate on this region's pods: applied, read back, counted, and cut here first."""

__all__ = ["decider", "ports", "shell", "tables"]
