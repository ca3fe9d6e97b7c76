"""What is shown, as values: pure, `now` is passed in."""

__all__ = [
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
    "sentences",
    "takeovers",
    "trends",
    "verdict",
]
