"""The whole thing on one machine: Kafka, S3, Redis and Modelcast's own daemons, without installing any of them."""

__all__ = ["layout", "scratch", "stack", "up"]
