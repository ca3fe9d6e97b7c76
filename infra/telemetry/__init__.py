"""What a daemon shows of itself: logs, metrics, health."""

__all__ = ["health", "inference_counts", "logs", "metrics", "pulse", "redaction", "tracing"]
