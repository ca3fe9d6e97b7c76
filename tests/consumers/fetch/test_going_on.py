"""A fetch that was broken off goes on in the middle of a block, and believes nothing of what it finds."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from modelcast.consumers.fetch import ArtifactCache, FetchCancelled, Fetcher
from modelcast.consumers.fetch.transfer import reading as reading_module
from modelcast.consumers.fetch.transfer.download import SMALL_READERS
from modelcast.infra.stores import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.manifest import Manifest
from modelcast.schemas.ports import ByteStream
from tests.consumers.fetch.publishing import MIB, Wrapped, cached, noise, publish

pytestmark = pytest.mark.usefixtures("short_pauses")

CONTENT = noise(10 * MIB + 12345)
PACKET_BYTES = 100_000
BROKEN_OFF_BYTES = 3 * MIB + 50_000  # not a number of whole blocks, however many readers share it


class Packets(Wrapped):
    """A link that brings little at once, and stops after so many bytes."""

    def __init__(self, store: MemoryStore, stop_bytes: int | None = None) -> None:
        super().__init__(store)
        self.stop = threading.Event()
        self._stop_bytes = stop_bytes

    @contextmanager
    def open(
        self, key: str, *, start: int = 0, length: int | None = None, etag: str | None = None
    ) -> Iterator[ByteStream]:
        with super().open(key, start=start, length=length, etag=etag) as stream:
            yield _InPackets(stream)

    def on_read(self, count: int) -> None:
        super().on_read(count)
        if self._stop_bytes is not None and self.blob_bytes_read >= self._stop_bytes:
            self.stop.set()


class _InPackets:
    def __init__(self, stream: ByteStream) -> None:
        self.info, self._stream = stream.info, stream

    def readinto(self, buffer: memoryview) -> int:
        return self._stream.readinto(buffer[:PACKET_BYTES])


@pytest.fixture(autouse=True)
def saved_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading_module, "SAVE_SECONDS", 0.0)


@pytest.fixture
def manifest(origin: MemoryStore) -> Manifest:
    return publish(origin, {"w": CONTENT})


def broken_off(origin: MemoryStore, region: MemoryStore | None, cache: ArtifactCache, manifest: Manifest) -> int:
    """A fetch that ends in the middle of blocks; the bytes that it brought."""
    link = Packets(origin, BROKEN_OFF_BYTES)
    with pytest.raises(FetchCancelled):
        Fetcher(link, region, cache).fetch(manifest.digest, cancel=link.stop)
    assert list((cache.folder / "incoming").rglob("*.begun"))
    return link.blob_bytes_read


def on_its_way(cache: ArtifactCache) -> Path:
    return next((cache.folder / "incoming").rglob("w"))


@pytest.mark.parametrize("with_region", [False, True])
def test_no_byte_comes_twice(
    origin: MemoryStore, region: MemoryStore, cache: ArtifactCache, manifest: Manifest, with_region: bool
) -> None:
    regional = region if with_region else None
    before = broken_off(origin, regional, cache, manifest)
    again = Packets(origin)
    told: list[int] = []
    report = Fetcher(again, regional, cache).fetch(manifest.digest, on_progress=told.append)
    assert cached(cache, manifest) == {"w": CONTENT}
    assert before + again.blob_bytes_read == len(CONTENT)
    assert report.bytes_moved == again.blob_bytes_read
    assert report.bytes_saved == 0
    assert sum(told) == len(CONTENT)
    assert not (on_published(cache) / "aside").exists()


def on_published(cache: ArtifactCache) -> Path:
    return next((cache.folder / "artifacts").iterdir())


def test_broken_off_again_and_again_no_byte_comes_twice(
    origin: MemoryStore, cache: ArtifactCache, manifest: Manifest
) -> None:
    moved = sum(broken_off(origin, None, cache, manifest) for _ in range(3))
    again = Packets(origin)
    Fetcher(again, None, cache).fetch(manifest.digest)
    assert cached(cache, manifest) == {"w": CONTENT}
    assert moved + again.blob_bytes_read == len(CONTENT)


def test_a_beginning_that_rotted_comes_again_and_is_nobodys_fault(
    origin: MemoryStore, cache: ArtifactCache, manifest: Manifest
) -> None:
    """As after a power failure: it was noted, and never reached the disk."""
    before = broken_off(origin, None, cache, manifest)
    content = on_its_way(cache).read_bytes()
    rotten = bytearray(content)
    begun = 0
    for block in range(11):
        there = content[block * MIB : (block + 1) * MIB]
        if there != CONTENT[block * MIB : (block + 1) * MIB] and there[:1000] == CONTENT[block * MIB :][:1000]:
            rotten[block * MIB] ^= 1
            begun += 1
    assert begun
    on_its_way(cache).write_bytes(rotten)
    again = Packets(origin)
    Fetcher(again, None, cache).fetch(manifest.digest)
    assert cached(cache, manifest) == {"w": CONTENT}
    assert before + again.blob_bytes_read <= len(CONTENT) + begun * MIB


def test_a_beginning_that_rotted_is_not_the_regions_fault(
    origin: MemoryStore, region: MemoryStore, cache: ArtifactCache, manifest: Manifest
) -> None:
    broken_off(origin, None, cache, manifest)
    path = on_its_way(cache)
    path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))
    Fetcher(origin, region, ArtifactCache(cache.folder.parent / "other")).fetch(manifest.digest)  # it fills the region
    far, near = Packets(origin), Packets(region)
    deleted: list[str] = []
    near.delete = deleted.append  # type: ignore[method-assign]
    Fetcher(far, near, cache).fetch(manifest.digest)
    assert cached(cache, manifest) == {"w": CONTENT}
    assert deleted == []


def test_what_the_origin_began_the_region_may_end(
    origin: MemoryStore, region: MemoryStore, cache: ArtifactCache, manifest: Manifest
) -> None:
    before = broken_off(origin, None, cache, manifest)
    for file in manifest.files:
        region.put(keys.blob(file.digest), CONTENT)
    far, near = Packets(origin), Packets(region)
    Fetcher(far, near, cache).fetch(manifest.digest)
    assert cached(cache, manifest) == {"w": CONTENT}
    assert far.blob_bytes_read == 0
    assert near.blob_bytes_read == len(CONTENT) - before


def test_what_the_origin_began_it_goes_on_with_if_the_region_lost_the_rest(
    origin: MemoryStore, region: MemoryStore, cache: ArtifactCache, manifest: Manifest
) -> None:
    before = broken_off(origin, None, cache, manifest)
    for file in manifest.files:
        region.put(keys.blob(file.digest), CONTENT[:-1])  # of no use, as is found out when it is opened
    far = Packets(origin)
    Fetcher(far, region, cache).fetch(manifest.digest)
    assert cached(cache, manifest) == {"w": CONTENT}
    assert before + far.blob_bytes_read == len(CONTENT)


def test_of_many_files_few_are_open_at_once(origin: MemoryStore, cache: ArtifactCache) -> None:
    manifest = publish(origin, {f"{number:03}": noise(250_000, number) for number in range(100)})
    open_at_once: list[int] = []

    class Looks(Packets):
        def on_read(self, count: int) -> None:
            super().on_read(count)
            names = []
            for fd in Path("/proc/self/fd").iterdir():
                with suppress(OSError):
                    names.append(str(fd.readlink()))
            open_at_once.append(sum(name.endswith(".begun") for name in names))

    Fetcher(Looks(origin), None, cache).fetch(manifest.digest)
    assert max(open_at_once) <= SMALL_READERS  # while they are written
