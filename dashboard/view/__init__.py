"""What is shown, as values: pure, `now` is passed in."""

__all__ = [
    "candidates",
    "dead_letters",
    "disks",
    "entries",
    "freshness",
    "grid",
    "overview",
    "pairs",
    "probe",
    "problems",
    "recoveries",
    "rollouts",
    "takeovers",
    "trends",
    "verdict",
]
