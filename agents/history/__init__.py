"""The history of what regions served: the tracker's changes to Kafka, and from there into an archive in the store.

Plugged into the tracker, which works without it.
"""

from modelcast.agents.history.plug import plugged

__all__ = ["plugged"]
