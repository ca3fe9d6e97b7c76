"""Where it is read: Kafka, Redis, the registry log."""
