"""The store in memory."""

import pytest

from modelcast.infra.stores import MemoryStore
from modelcast.schemas.ports import ObjectStore
from tests.infra.stores.conformance import ObjectStoreConformance


class TestMemoryStore(ObjectStoreConformance):
    rounds = 200

    @pytest.fixture
    def store(self) -> ObjectStore:
        return MemoryStore()


def test_its_clock_is_the_callers() -> None:
    store = MemoryStore(now_us=lambda: 42)
    assert store.put("k", b"").last_modified_us == 42
