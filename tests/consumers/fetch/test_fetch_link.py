"""A link that fails, breaks off, trickles or changes its mind."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from modelcast.consumers.fetch import ArtifactCache, BlobMissing, DamagedBytes, FetchCancelled, Fetcher, Way
from modelcast.consumers.fetch.transfer import reading as reading_module
from modelcast.consumers.fetch.transfer.link import READERS, Link
from modelcast.infra.stores import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import StoreUnavailable
from modelcast.schemas.ports import ByteStream
from tests.consumers.fetch.publishing import FILES, MIB, Failing, Wrapped, cached, noise, publish

pytestmark = pytest.mark.usefixtures("short_pauses")


def test_a_missing_blob_is_worth_asking_again(origin: MemoryStore, cache: ArtifactCache) -> None:
    manifest = publish(origin, FILES)
    origin.delete(keys.blob(sha256_of(FILES["model.onnx"])))
    with pytest.raises(BlobMissing) as caught:
        Fetcher(origin, None, cache).fetch(manifest.digest)
    assert caught.value.retryable


def test_a_missing_manifest_is_worth_asking_again(origin: MemoryStore, cache: ArtifactCache) -> None:
    with pytest.raises(BlobMissing) as caught:
        Fetcher(origin, None, cache).fetch(sha256_of(b"nothing"))
    assert caught.value.retryable


def test_two_failures_of_a_part_are_borne_the_third_reaches_the_caller(
    origin: MemoryStore, cache: ArtifactCache
) -> None:
    manifest = publish(origin, FILES)
    patient = Failing(origin, lambda key, times: StoreUnavailable("cut") if times < 2 else None)
    Fetcher(patient, None, cache).fetch(manifest.digest)
    assert cached(cache, manifest) == FILES

    other = publish(origin, {"x": noise(20 * MIB)})
    hopeless = Failing(origin, lambda key, times: StoreUnavailable("cut"))
    with pytest.raises(StoreUnavailable, match="cut"):
        Fetcher(hopeless, None, cache).fetch(other.digest)


class CutsAfter(Wrapped):
    """Each link breaks after some bytes."""

    link_bytes = MIB

    @contextmanager
    def open(
        self, key: str, *, start: int = 0, length: int | None = None, etag: str | None = None
    ) -> Iterator[ByteStream]:
        with super().open(key, start=start, length=length, etag=etag) as stream:
            yield _Cut(stream, self.link_bytes)


class _Cut:
    def __init__(self, stream: ByteStream, left: int) -> None:
        self.info, self._stream, self._left = stream.info, stream, left

    def readinto(self, buffer: memoryview) -> int:
        if self._left == 0:
            raise StoreUnavailable("cut")
        count = self._stream.readinto(buffer[: self._left])
        self._left -= count
        return count


@pytest.mark.parametrize("link_bytes", [MIB // 2, 3 * MIB // 2 + 1, 5 * MIB // 3])
def test_a_part_goes_on_at_the_byte_where_the_link_broke(
    origin: MemoryStore, cache: ArtifactCache, link_bytes: int
) -> None:
    content = noise(10 * MIB + 12345)
    manifest = publish(origin, {"w": content})
    shaky = CutsAfter(origin)
    shaky.link_bytes = link_bytes
    report = Fetcher(shaky, None, cache, Link()).fetch(manifest.digest)
    assert cached(cache, manifest)["w"] == content
    assert report.bytes_moved == len(content)


def test_a_link_that_trickles_is_given_up(
    origin: MemoryStore, cache: ArtifactCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_module, "FLOOR_AFTER_SECONDS", 0.1)
    manifest = publish(origin, {"w": noise(120)})

    class Trickles(Wrapped):
        @contextmanager
        def open(
            self, key: str, *, start: int = 0, length: int | None = None, etag: str | None = None
        ) -> Iterator[ByteStream]:
            with super().open(key, start=start, length=length, etag=etag) as stream:
                yield Trickle(stream)

    class Trickle:
        def __init__(self, stream: ByteStream) -> None:
            self.info, self._stream = stream.info, stream

        def readinto(self, buffer: memoryview) -> int:
            time.sleep(0.01)
            return self._stream.readinto(buffer[:1])

    with pytest.raises(StoreUnavailable, match="stalled"):
        Fetcher(Trickles(origin), None, cache).fetch(manifest.digest)
    patient = Trickles(origin)
    monkeypatch.setattr(reading_module, "FLOOR_BYTES_PER_SECOND", 1)
    Fetcher(patient, None, cache).fetch(manifest.digest)


def test_an_interrupted_fetch_resumes(origin: MemoryStore, cache: ArtifactCache) -> None:
    manifest = publish(origin, {"w": noise(24 * MIB)})
    stop = threading.Event()
    seen = 0

    def progress(count: int) -> None:
        nonlocal seen
        seen += count
        if seen > 12 * MIB:
            stop.set()

    with pytest.raises(FetchCancelled):
        Fetcher(origin, None, cache).fetch(manifest.digest, on_progress=progress, cancel=stop)
    assert not cache.has(manifest.digest)
    report = Fetcher(origin, None, cache).fetch(manifest.digest)
    assert report.bytes_moved <= 24 * MIB - 12 * MIB + READERS * MIB  # the blocks that had begun
    assert report.bytes_saved == 0  # all of it has crossed
    assert (report.way, report.kind) == ("resumed whole", Way.RESUMED)
    assert cached(cache, manifest)["w"] == noise(24 * MIB)


def test_an_object_replaced_midway_is_noticed(origin: MemoryStore, cache: ArtifactCache) -> None:
    manifest = publish(origin, {"w": noise(48 * MIB)})
    other, replacing, replaced = noise(48 * MIB, 5), threading.Lock(), threading.Event()

    class Replaced(Wrapped):
        def on_read(self, count: int) -> None:
            super().on_read(count)
            with replacing:  # the other readers wait
                if self.blob_bytes_read > 2 * MIB and not replaced.is_set():
                    self.store.put(keys.blob(manifest.files[0].digest), other)
                    replaced.set()

    with pytest.raises((DamagedBytes, StoreUnavailable)):
        Fetcher(Replaced(origin), None, cache).fetch(manifest.digest)
    assert not cache.has(manifest.digest)


def test_a_region_that_can_not_be_written_is_said_and_nothing_is_moved_twice(
    origin: MemoryStore, region: MemoryStore, cache: ArtifactCache
) -> None:
    manifest = publish(origin, FILES)

    class ReadOnly(Wrapped):
        def upload(self, key: str, path: Path, **kwargs: object) -> None:  # type: ignore[override]
            raise StoreUnavailable("read-only")

    with pytest.raises(StoreUnavailable, match="read-only"):
        Fetcher(origin, ReadOnly(region), cache).fetch(manifest.digest)
    assert not cache.has(manifest.digest)
    report = Fetcher(origin, region, cache).fetch(manifest.digest)
    assert report.bytes_moved == 0
    assert cached(cache, manifest) == FILES
