"""Commands that change something, or run something."""

__all__ = ["dead_letters", "operate", "rollout", "run", "topics", "up_down"]
