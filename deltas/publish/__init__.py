"""Deltas beside an artifact: which ones a publisher makes, when, and out of what."""

__all__ = ["add", "reports"]
