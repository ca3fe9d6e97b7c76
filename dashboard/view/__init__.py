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
    "rollouts",
    "sentences",
    "takeovers",
    "trends",
    "verdict",
]
