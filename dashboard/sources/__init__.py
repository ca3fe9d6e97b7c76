"""Where it is read: Kafka, Redis, the registry log."""

__all__ = ["kafka_follower", "letter_source", "letters", "log_reader", "news", "redis_poller"]
