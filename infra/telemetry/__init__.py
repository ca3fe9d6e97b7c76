"""What a daemon shows of itself: logs, metrics, health."""
