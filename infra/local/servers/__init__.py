"""The embedded servers: Kafka, Redis and S3, each in a process of its own."""
