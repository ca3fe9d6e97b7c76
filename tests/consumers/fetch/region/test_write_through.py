"""Files enter the regional bucket while they still arrive."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from modelcast.consumers.fetch import ArtifactCache, DamagedBytes, Fetcher
from modelcast.infra.stores import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.errors import StoreUnavailable
from modelcast.schemas.manifest import Manifest
from modelcast.schemas.ports import ByteStream, Ready
from tests.consumers.fetch.publishing import MIB, Wrapped, cached, entry, noise, publish

pytestmark = pytest.mark.usefixtures("short_pauses")

LARGE = {"weights": noise(20 * MIB + 3, 5)}
PATIENCE_SECONDS = 60.0


class Reading(Wrapped):
    """A bucket that reads a file's first bytes as soon as it may."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.has_begun = threading.Event()

    def on_upload(self, path: Path, ready: Ready | None) -> None:
        if ready:
            ready(8 * MIB)
            assert path.read_bytes()[: 8 * MIB] == LARGE["weights"][: 8 * MIB]
            self.has_begun.set()


class HoldsBackTheEnd(Wrapped):
    """An origin that gives an object's end only once the region has read its beginning."""

    def __init__(self, store: MemoryStore, has_begun: threading.Event) -> None:
        super().__init__(store)
        self._has_begun = has_begun

    @contextmanager
    def open(
        self, key: str, *, start: int = 0, length: int | None = None, etag: str | None = None
    ) -> Iterator[ByteStream]:
        if start >= 8 * MIB:
            assert self._has_begun.wait(PATIENCE_SECONDS), "the region waits for the whole file"
        with super().open(key, start=start, length=length, etag=etag) as stream:
            yield stream


def test_a_file_enters_the_region_while_its_end_is_still_to_come(
    origin: MemoryStore, region: MemoryStore, cache: ArtifactCache
) -> None:
    manifest = publish(origin, LARGE)
    reading = Reading(region)
    Fetcher(HoldsBackTheEnd(origin, reading.has_begun), reading, cache).fetch(manifest.digest)
    assert cached(cache, manifest) == LARGE
    assert reading.uploads == [keys.blob(manifest.files[0].digest)]
    assert region.head(keys.manifest(manifest.digest)) is not None


def test_a_region_that_fails_meanwhile_is_given_the_file_at_the_end(
    origin: MemoryStore, region: MemoryStore, cache: ArtifactCache
) -> None:
    manifest = publish(origin, LARGE)

    class FailsEarly(Wrapped):
        def on_upload(self, path: Path, ready: Ready | None) -> None:
            if ready:
                raise StoreUnavailable("not now")

    Fetcher(origin, FailsEarly(region), cache).fetch(manifest.digest)
    assert cached(cache, manifest) == LARGE
    assert region.head(keys.blob(manifest.files[0].digest)) is not None
    assert region.head(keys.manifest(manifest.digest)) is not None


def test_a_fetch_that_fails_leaves_the_region_without_the_file(
    origin: MemoryStore, region: MemoryStore, cache: ArtifactCache
) -> None:
    manifest = publish(origin, LARGE)

    class BreaksAtTheEnd(Wrapped):
        @contextmanager
        def open(
            self, key: str, *, start: int = 0, length: int | None = None, etag: str | None = None
        ) -> Iterator[ByteStream]:
            if start >= 16 * MIB:
                raise StoreUnavailable("cut")
            with super().open(key, start=start, length=length, etag=etag) as stream:
                yield stream

    with pytest.raises(StoreUnavailable, match="cut"):
        Fetcher(BreaksAtTheEnd(origin), region, cache).fetch(manifest.digest)
    assert list(region.list("")) == []
    report = Fetcher(origin, region, cache).fetch(manifest.digest)
    assert report.bytes_moved < report.bytes_total
    assert region.head(keys.blob(manifest.files[0].digest)) is not None


def test_a_manifest_that_lies_about_a_digest_brings_nothing_into_the_region(
    origin: MemoryStore, region: MemoryStore, cache: ArtifactCache
) -> None:
    true, other = entry("weights", LARGE["weights"]), entry("weights", noise(20 * MIB + 3, 6))
    lying = Manifest((type(true)("weights", true.size_bytes, other.digest, true.blocks),))
    origin.put(keys.blob(other.digest), LARGE["weights"])
    origin.put(keys.manifest(lying.digest), lying.encode())
    with pytest.raises(DamagedBytes):
        Fetcher(origin, region, cache).fetch(lying.digest)
    assert list(region.list("")) == []
