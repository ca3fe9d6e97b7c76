"""What is shown, as values: pure, `now` is passed in."""

__all__ = [
    "disks",
    "entries",
    "grid",
    "overview",
    "pairs",
    "probe",
    "problems",
    "rollouts",
    "takeovers",
    "trends",
    "verdict",
]
