"""Deltas beside an artifact: which ones a publisher makes, when, and out of what."""

from modelcast.deltas.publish.accelerator import DeltaAccelerator
from modelcast.deltas.publish.add import add_deltas

__all__ = ["DeltaAccelerator", "add_deltas"]
