"""What the dashboard reads: Kafka, Redis, registry logs."""

__all__ = ["kafka_follower", "letter_source", "letters", "log_reader", "news", "redis_poller"]
