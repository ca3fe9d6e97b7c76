"""What a worker reports to Kafka: snapshots, the progress of fetches, heartbeats."""
