"""Bytes, manifests and sizes that are wrong: named, never published, mended where others are right."""

import pickle
from pathlib import Path

import pytest

from modelcast.consumers.fetch import ArtifactCache, DamagedBytes, Fetcher, Link
from modelcast.infra.stores import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import ContentError, Refused, VerificationFailed
from modelcast.schemas.manifest import FileEntry, Manifest
from modelcast.schemas.ports import StoredObject
from tests.consumers.fetch.publishing import (
    FILES,
    MIB,
    TOTAL,
    Wrapped,
    cached,
    damage,
    entry,
    manifest_of,
    noise,
    publish,
    tree,
)

pytestmark = pytest.mark.usefixtures("short_pauses")


@pytest.mark.parametrize("offset", [0, MIB, -1])
def test_damage_in_the_origin_is_named_and_nothing_is_published(
    origin: MemoryStore, region: MemoryStore, cache: ArtifactCache, offset: int
) -> None:
    manifest = publish(origin, FILES)
    damage(origin, sha256_of(FILES["model.onnx"]), offset)
    with pytest.raises(DamagedBytes) as caught:
        Fetcher(origin, region, cache).fetch(manifest.digest)
    assert caught.value.path == "model.onnx"
    assert caught.value.store == "origin"
    assert caught.value.expected != caught.value.got
    assert not cache.has(manifest.digest)
    assert region.head(keys.manifest(manifest.digest)) is None
    assert region.head(keys.blob(sha256_of(FILES["model.onnx"]))) is None
    copied = pickle.loads(pickle.dumps(caught.value))
    assert (str(copied), copied.path) == (str(caught.value), "model.onnx")


def test_a_mended_origin_is_good_again(origin: MemoryStore, region: MemoryStore, cache: ArtifactCache) -> None:
    manifest = publish(origin, FILES)
    damage(origin, sha256_of(FILES["model.onnx"]))
    fetcher = Fetcher(origin, region, cache, Link(readers=1))
    with pytest.raises(DamagedBytes):
        fetcher.fetch(manifest.digest)
    publish(origin, FILES)
    report = fetcher.fetch(manifest.digest)
    assert cached(cache, manifest) == FILES
    assert report.bytes_moved < TOTAL / 2  # the whole blocks of the first try were kept


@pytest.mark.parametrize("vouched", [True, False])
def test_damage_in_the_region_is_replaced_from_the_origin(
    origin: MemoryStore, region: MemoryStore, cache: ArtifactCache, vouched: bool
) -> None:
    manifest = publish(origin, FILES)
    publish(region, FILES)
    damage(region, sha256_of(FILES["model.onnx"]))
    if not vouched:
        region.delete(keys.manifest(manifest.digest))
    report = Fetcher(origin, region, cache).fetch(manifest.digest)
    assert cached(cache, manifest) == FILES
    assert 0 < report.bytes_moved <= MIB
    assert region.get(keys.blob(sha256_of(FILES["model.onnx"])), size_max=TOTAL).body == FILES["model.onnx"]  # type: ignore[union-attr]
    assert region.head(keys.manifest(manifest.digest)) is not None


@pytest.mark.parametrize("who", ["region", "origin"])
def test_a_manifest_that_is_denied_is_not_damaged(
    origin: MemoryStore, region: MemoryStore, cache: ArtifactCache, who: str
) -> None:
    class Denies(Wrapped):
        def get(self, key: str, *, size_max: int) -> StoredObject | None:
            if key.startswith("manifests/"):
                raise Refused("denied")
            return super().get(key, size_max=size_max)

    manifest = publish(origin, FILES)
    if who == "region":
        publish(region, FILES)
    stores = (Denies(origin), region) if who == "origin" else (origin, Denies(region))
    with pytest.raises(Refused):
        Fetcher(*stores, cache).fetch(manifest.digest)
    assert (region.head(keys.manifest(manifest.digest)) is not None) == (who == "region")


def test_a_blob_that_the_region_lost_comes_from_the_origin_and_is_put_back(
    origin: MemoryStore, region: MemoryStore, cache: ArtifactCache
) -> None:
    manifest = publish(origin, FILES)
    publish(region, FILES)
    region.delete(keys.blob(sha256_of(FILES["model.onnx"])))
    Fetcher(origin, region, cache).fetch(manifest.digest)
    assert cached(cache, manifest) == FILES
    assert region.head(keys.blob(sha256_of(FILES["model.onnx"]))) is not None


def test_a_damaged_regional_manifest_is_replaced(
    origin: MemoryStore, region: MemoryStore, cache: ArtifactCache
) -> None:
    manifest = publish(origin, FILES)
    region.put(keys.manifest(manifest.digest), b"{}")
    Fetcher(origin, region, cache).fetch(manifest.digest)
    assert region.get(keys.manifest(manifest.digest), size_max=10_000).body == manifest.encode()  # type: ignore[union-attr]


def test_a_manifest_with_other_bytes_is_damage(origin: MemoryStore, cache: ArtifactCache) -> None:
    manifest = publish(origin, FILES)
    origin.put(keys.manifest(manifest.digest), manifest_of({"other": b"x"}).encode())
    with pytest.raises(DamagedBytes, match="manifest"):
        Fetcher(origin, None, cache).fetch(manifest.digest)


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../b", "a//b", ".", "a\\b"])
def test_a_manifest_that_leaves_its_folder_is_refused(
    origin: MemoryStore, cache: ArtifactCache, tmp_path: Path, path: str
) -> None:
    evil = Manifest((entry(path, b"evil"),))
    origin.put(keys.manifest(evil.digest), evil.encode())
    origin.put(keys.blob(sha256_of(b"evil")), b"evil")
    before = set(tree(tmp_path))
    with pytest.raises(ContentError, match="bad path"):
        Fetcher(origin, None, cache).fetch(evil.digest)
    assert {path for path in tree(tmp_path) if not path.endswith(".fetch")} == before


@pytest.mark.parametrize("body", [b"short", b"x" * 901, b""])
def test_an_object_of_another_size_is_damage(origin: MemoryStore, cache: ArtifactCache, body: bytes) -> None:
    manifest = publish(origin, FILES)
    origin.put(keys.blob(sha256_of(FILES["tokenizer/vocab.txt"])), body)
    with pytest.raises(DamagedBytes, match="900 bytes"):
        Fetcher(origin, None, cache).fetch(manifest.digest)


def test_a_size_that_differs_from_the_log_is_refused(origin: MemoryStore, cache: ArtifactCache) -> None:
    manifest = publish(origin, FILES)
    with pytest.raises(VerificationFailed, match="the log's entry declares 5"):
        Fetcher(origin, None, cache).fetch(manifest.digest, size_bytes=5)


@pytest.mark.parametrize("with_region", [True, False])
def test_a_manifest_whose_file_digest_lies_is_refused(
    origin: MemoryStore, region: MemoryStore, cache: ArtifactCache, with_region: bool
) -> None:
    body = noise(2 * MIB)
    honest = entry("w", body)
    lying = Manifest((FileEntry("w", honest.size_bytes, sha256_of(b"something else"), honest.blocks),))
    origin.put(keys.manifest(lying.digest), lying.encode())
    origin.put(keys.blob(lying.files[0].digest), body)
    with pytest.raises(DamagedBytes):
        Fetcher(origin, region if with_region else None, cache).fetch(lying.digest)
    assert not cache.has(lying.digest)
    assert list(region.list("")) == []
