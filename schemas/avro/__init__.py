"""Avro: the records' schemas, and what reads a schema or a payload from elsewhere safely."""
