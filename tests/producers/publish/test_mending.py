"""Publishing again puts right what the store has lost or damaged of the very bytes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from modelcast.infra.settings import Settings, StoreSettings
from modelcast.infra.settings_publish import PublishSettings
from modelcast.infra.stores import MemoryStore
from modelcast.producers import Publisher
from modelcast.schemas import keys
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.ports import StoredObject
from tests.producers.fakes import Heard, HookedStore

SETTINGS = Settings(
    stores={"origin": StoreSettings(url="s3://unused")}, publish=PublishSettings(deltas=False, allow_unknown=("*",))
)
SIZES = [10, 2_000_000]  # kept in memory, read again from disk


@pytest.fixture
def publish(store: MemoryStore, tmp_path: Path) -> Callable[..., object]:
    publisher = Publisher(SETTINGS, store=store, announcer=Heard())
    return lambda body, **options: publisher.publish("fraud", _file(tmp_path, body), **options)


def _file(folder: Path, body: bytes) -> Path:
    (folder / "model.bin").write_bytes(body)
    return folder / "model.bin"


def rot(store: MemoryStore, key: str) -> None:
    """Other bytes under the old ETag, as a disk does it."""
    found = store.get(key, size_max=10**8)
    assert found is not None
    store._objects[key] = StoredObject(bytes(len(found.body)), found.info)


@pytest.mark.parametrize("size", SIZES)
def test_damaged_bytes_of_the_same_length_are_put_right(
    store: MemoryStore, publish: Callable[..., object], size: int
) -> None:
    body = b"x" * size
    publish(body)
    key = keys.blob(sha256_of(body))
    store.put(key, b"y" * size)
    done = publish(body)
    assert store.get(key, size_max=size).body == body  # type: ignore[union-attr]
    assert (done.created, done.uploaded_bytes) == (False, size)  # type: ignore[attr-defined]
    assert any("model.bin" in note for note in done.notes)  # type: ignore[attr-defined]
    assert publish(body).notes == ()  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", SIZES)
def test_what_the_etag_hides_is_found_by_reading_back(
    store: MemoryStore, publish: Callable[..., object], size: int
) -> None:
    body = b"x" * size
    publish(body)
    key = keys.blob(sha256_of(body))
    rot(store, key)
    publish(body)
    assert store.get(key, size_max=size).body != body  # type: ignore[union-attr]
    publish(body, verify=True)
    assert store.get(key, size_max=size).body == body  # type: ignore[union-attr]


def test_a_new_version_that_is_verified_mends_what_it_shares(
    store: MemoryStore, publish: Callable[..., object], tmp_path: Path
) -> None:
    shared = b"s" * 2_000_000
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "shared").write_bytes(shared)
    (tmp_path / "folder" / "head").write_bytes(b"1")
    publisher = Publisher(SETTINGS, store=store, announcer=Heard())
    publisher.publish("fraud", tmp_path / "folder")
    rot(store, keys.blob(sha256_of(shared)))
    (tmp_path / "folder" / "head").write_bytes(b"2")
    done = publisher.publish("fraud", tmp_path / "folder", verify=True)
    assert (done.version, done.uploaded_bytes) == (2, len(shared) + 1)


def test_a_damaged_manifest_is_put_right(store: MemoryStore, publish: Callable[..., object]) -> None:
    digest = publish(b"x").manifest_digest  # type: ignore[attr-defined]
    key = keys.manifest(digest)
    whole = store.get(key, size_max=10**6)
    assert whole is not None
    store.put(key, b"{}")
    publish(b"x")
    assert sha256_of(store.get(key, size_max=10**6).body) == digest  # type: ignore[union-attr]


def test_a_store_with_etags_of_its_own_is_read_and_nothing_is_sent_again(store: MemoryStore, tmp_path: Path) -> None:
    body = b"x" * 2_000_000
    sent: list[str] = []
    hooked = HookedStore(store, before=lambda call, key: sent.append(key) if call == "upload" else None)
    publisher = Publisher(SETTINGS, store=hooked, announcer=Heard())
    publisher.publish("fraud", _file(tmp_path, body))
    found = store.get(keys.blob(sha256_of(body)), size_max=len(body))
    assert found is not None
    info = type(found.info)(found.info.key, found.info.size_bytes, '"opaque"', found.info.last_modified_us)
    store._objects[info.key] = StoredObject(body, info)
    publisher.publish("fraud", _file(tmp_path, body))
    assert len(sent) == 1
