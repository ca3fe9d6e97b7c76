"""``modelcast demo``: the main job, on this machine, with real models and real servers."""

__all__ = ["command"]
