"""For programs that load weights in a Python process of their own: each version that they should load, verified."""

from modelcast.consumers.watcher.update import VersionUpdate
from modelcast.consumers.watcher.watcher import Watcher

__all__ = ["VersionUpdate", "Watcher"]
