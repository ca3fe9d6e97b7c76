"""Avro: the records' schemas, and what reads a schema or a payload from elsewhere safely."""

__all__ = ["any_record", "payload_walk", "record_checks", "record_shapes", "schema_book", "value_checks", "well_framed"]
