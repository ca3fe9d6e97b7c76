"""Commands that change something, or run something."""

__all__ = ["dead_letters", "operate", "outcome", "regions", "registry", "rollout", "run", "top", "topics", "up_down"]
