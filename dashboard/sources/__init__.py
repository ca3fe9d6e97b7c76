"""What the dashboard reads: Kafka, Redis, registry logs."""

__all__ = [
    "history_source",
    "kafka_follower",
    "letter_source",
    "letters",
    "log_reader",
    "news",
    "pod_lists",
    "redis_poller",
]
