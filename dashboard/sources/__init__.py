"""What the dashboard reads: Kafka, Redis, registry logs."""

__all__ = ["history_source", "kafka_follower", "log_reader", "news", "redis_poller"]
