"""Commands that change something, or run something."""

__all__ = [
    "dead_letters",
    "keys",
    "load",
    "operate",
    "outcome",
    "regions",
    "registry",
    "rollout",
    "run",
    "top",
    "topics",
    "up_down",
]
