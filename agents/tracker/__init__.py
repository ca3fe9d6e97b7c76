"""The tracker: folds what regions report into who serves what, and says so."""

__all__ = ["runner"]
