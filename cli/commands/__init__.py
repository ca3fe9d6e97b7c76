"""Commands that change something, or run something."""

__all__ = ["dead_letters", "operate", "regions", "registry", "rollout", "run", "top", "topics", "up_down"]
