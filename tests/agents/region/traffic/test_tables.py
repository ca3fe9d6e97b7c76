"""The origin's tables: read again only where they have changed, and what can't be read is none."""

from modelcast.agents.region.traffic.tables import OriginTables
from modelcast.infra.stores.memory_store import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.ports import StoredObject
from modelcast.schemas.traffic.table import encode_table
from tests.agents.region.traffic.words import table
from tests.agents.region.words import MODEL


class CountedStore(MemoryStore):
    """Counts what is read whole."""

    gets = 0

    def get(self, key: str, *, size_max: int) -> StoredObject | None:
        self.gets += 1
        return super().get(key, size_max=size_max)


def test_a_table_is_read_whole_once_and_again_when_it_has_changed() -> None:
    store = CountedStore()
    tables = OriginTables(store)
    assert tables.look(MODEL) is None
    store.put(keys.traffic_table(MODEL), encode_table(table(100)))
    assert [tables.look(MODEL) for _ in range(3)] == [table(100)] * 3
    assert store.gets == 1
    store.put(keys.traffic_table(MODEL), encode_table(table(500, sequence=2)))
    assert tables.look(MODEL) == table(500, sequence=2)


def test_what_is_no_table_is_none_and_is_not_read_again() -> None:
    store = CountedStore()
    tables = OriginTables(store)
    store.put(keys.traffic_table(MODEL), b"{}")
    assert [tables.look(MODEL) for _ in range(3)] == [None] * 3
    assert store.gets == 1
