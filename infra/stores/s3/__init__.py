"""``ObjectStore`` on S3 and what speaks it, and how a store is reached."""

from modelcast.infra.stores.s3.store import S3Store, open_store

__all__ = ["S3Store", "client_trials", "etags", "open_store"]
