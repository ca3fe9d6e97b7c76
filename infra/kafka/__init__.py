"""Kafka: clients, topics, dead letters, and the Faust app of the agents."""

__all__ = [
    "admin",
    "agent_connection",
    "announcer",
    "client",
    "dead_letters",
    "faust_app",
    "faust_consumer",
    "groups",
    "outbox",
    "replays",
    "rights",
]
