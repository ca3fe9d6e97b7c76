"""Kafka: clients, topics, dead letters, and the Faust app of the agents."""
