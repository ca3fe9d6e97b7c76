"""The tracker: folds the regions' reports into one state of each model, and publishes it."""

__all__ = ["runner"]
