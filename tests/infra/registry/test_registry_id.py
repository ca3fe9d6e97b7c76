"""The registry's id: made once, never anew where logs stand, and put back where it was lost or damaged."""

import threading

import pytest

from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.registry.restore_id import named_ids, restore_id
from modelcast.schemas import keys
from modelcast.schemas.errors import ForeignRegistry, NotFound, Refused, RegistryIdLost
from modelcast.schemas.log.registry_id import encode_registry_id
from tests.infra.registry.registry_parts import CountingStore, filled


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


@pytest.fixture
def reader(store: CountingStore) -> RegistryReader:
    reader = RegistryReader(store)
    reader.registry_id(create=True)
    return reader


def test_the_registry_id_is_made_once_and_the_same_for_everybody(store: CountingStore) -> None:
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(RegistryReader(store).registry_id(create=True))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert RegistryReader(store).registry_id() == found[0]


@pytest.mark.parametrize("create", [True, False])
def test_a_registry_that_another_publisher_makes_and_fills_meanwhile_is_taken(
    store: CountingStore, monkeypatch: pytest.MonkeyPatch, create: bool
) -> None:
    """Between a look for the id, which is not there yet, and a look for entries."""
    listed = store.folders

    def folders(prefix: str) -> list[str]:
        monkeypatch.setattr(store, "folders", listed)
        other = RegistryReader(store)
        other.registry_id(create=True)
        filled(other, 1)
        return list(listed(prefix))

    monkeypatch.setattr(store, "folders", folders)
    assert RegistryReader(store).registry_id(create=create) == RegistryReader(store).registry_id()


def test_an_empty_store_has_no_registry_until_somebody_publishes(store: CountingStore) -> None:
    with pytest.raises(NotFound):
        RegistryReader(store).registry_id()


def test_another_registry_than_the_expected_one_is_refused(store: CountingStore, reader: RegistryReader) -> None:
    with pytest.raises(ForeignRegistry):
        RegistryReader(store, expected_id="another").registry_id(create=True)


def test_a_wiped_store_is_noticed_and_never_gets_a_new_id_from_one_who_knew_the_old(
    store: CountingStore, reader: RegistryReader
) -> None:
    store.delete(keys.REGISTRY_ID)
    with pytest.raises(ForeignRegistry):
        reader.read_registry_id(create=True)
    RegistryReader(store).registry_id(create=True)
    with pytest.raises(ForeignRegistry):
        reader.read_registry_id()


def test_an_id_is_not_made_where_logs_stand_and_their_entries_tell_which_it_was(
    store: CountingStore, reader: RegistryReader
) -> None:
    filled(reader, 1)
    filled(reader, 1, model="churn")
    known = reader.registry_id()
    with pytest.raises(Refused, match="has an id"):
        restore_id(reader, known)
    store.delete(keys.REGISTRY_ID)
    for create in (True, False):
        with pytest.raises(RegistryIdLost, match=r"holds logs \(churn, fraud\)"):
            RegistryReader(store).registry_id(create=create)
    store.put(keys.log_entry("rubbish", 1), b"rubbish")
    assert named_ids(RegistryReader(store)) == {known: ["churn", "fraud"]}
    restore_id(RegistryReader(store), known)
    assert RegistryReader(store).registry_id() == known


def test_a_store_without_logs_has_lost_no_id(store: CountingStore) -> None:
    with pytest.raises(NotFound, match="no logs"):
        named_ids(RegistryReader(store))


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"rubbish",
        b'{"registry_id": 7}',
        b'{"registry_ie": "x"}',
        b"\xff" * 100_000,
        encode_registry_id("0a").replace(b'"0a"', b'"1a"'),
    ],
)
def test_damaged_bytes_give_way_to_the_id_that_the_logs_name_and_are_kept_beside_it(
    store: CountingStore, reader: RegistryReader, damaged: bytes
) -> None:
    filled(reader, 1)
    known = reader.registry_id()
    store.put(keys.REGISTRY_ID, damaged)
    kept = restore_id(RegistryReader(store), known)
    found = store.get(kept, size_max=10**6)
    assert found is not None
    assert found.body == damaged
    assert RegistryReader(store).registry_id() == known
    assert RegistryReader(store).models() == ["fraud"]
    with pytest.raises(Refused, match="has an id"):
        restore_id(RegistryReader(store), known)


def test_damaged_bytes_name_the_command_that_mends_them(store: CountingStore) -> None:
    store.put(keys.REGISTRY_ID, b"rubbish")
    with pytest.raises(Refused, match="not a registry id") as caught:
        RegistryReader(store).registry_id()
    assert "modelcast registry restore-id" in caught.value.hint


def test_what_was_written_while_a_person_restored_it_is_not_overwritten(
    store: CountingStore, reader: RegistryReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = reader.registry_id()
    store.put(keys.REGISTRY_ID, b"rubbish")
    put = store.put

    def mended_meanwhile(key: str, body: bytes, **how: object) -> object:
        if key != keys.REGISTRY_ID:
            put(keys.REGISTRY_ID, b"mended by somebody else")
        return put(key, body, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "put", mended_meanwhile)
    with pytest.raises(Refused, match="meanwhile"):
        restore_id(reader, known)
