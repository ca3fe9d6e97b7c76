"""What publishing and commanding come to, decided on values alone: no module in this folder does I/O."""

__all__ = [
    "arguments",
    "commands",
    "convergence",
    "needless",
    "publication",
    "refusals",
    "request",
    "rollout_plan",
    "standing",
]
