"""Object stores: S3 and whatever speaks it, and one in memory for simulation and unit tests."""

from modelcast.infra.stores.conditional_puts import prove_conditional_puts
from modelcast.infra.stores.memory_store import MemoryStore
from modelcast.infra.stores.s3 import S3Store, open_store

__all__ = ["MemoryStore", "S3Store", "breaker", "configured", "open_store", "prove_conditional_puts", "s3"]
