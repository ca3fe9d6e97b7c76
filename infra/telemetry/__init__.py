"""What a daemon shows of itself: logs, metrics, health."""

__all__ = ["health", "logs", "metrics", "pulse", "redaction", "tracing"]
