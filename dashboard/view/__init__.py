"""What is shown, as values: pure, `now` is passed in."""

__all__ = ["entries", "grid", "overview", "pairs", "probe", "problems", "rollouts", "trends", "verdict"]
