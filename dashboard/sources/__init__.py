"""What the dashboard reads: Kafka, Redis, registry logs."""

__all__ = ["kafka_follower", "log_reader", "news", "redis_poller"]
