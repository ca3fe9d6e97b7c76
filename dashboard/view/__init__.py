"""What is shown, as values: pure, `now` is passed in."""

__all__ = ["entries", "fleet", "grid", "pairs", "probe", "problems", "verdict"]
