"""The registry log in the origin store: reading it, claiming its next entry, the schemas beside it."""

__all__ = ["claim", "newer_records", "reader", "restore_id", "schema_lookup", "shared_listing"]
