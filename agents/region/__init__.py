"""The region agent: what one region does so that its pods serve what the log says."""

__all__ = ["runner"]
