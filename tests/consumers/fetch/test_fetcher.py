"""Fetching: the cheapest way, every byte checked, the link's moods borne."""

import pickle
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from modelcast.consumers.fetch import ArtifactCache, BlobMissing, DamagedBytes, FetchCancelled, Fetcher
from modelcast.consumers.fetch import reading as reading_module
from modelcast.consumers.fetch import retry as retry_module
from modelcast.consumers.fetch.link import READERS
from modelcast.infra.stores import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import ContentError, StoreUnavailable, VerificationFailed
from modelcast.schemas.manifest import FileEntry, Manifest
from modelcast.schemas.ports import ByteStream
from tests.consumers.fetch.publishing import MIB, Failing, Wrapped, damage, entry, manifest_of, noise, publish, tree

FILES = {"model.onnx": noise(3 * MIB + 17, 1), "tokenizer/vocab.txt": noise(900, 2), "empty": b""}
TOTAL = sum(map(len, FILES.values()))


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_module, "PAUSE_SECONDS", 0.001)


@pytest.fixture
def origin() -> MemoryStore:
    return MemoryStore("origin")


@pytest.fixture
def region() -> MemoryStore:
    return MemoryStore("region")


@pytest.fixture
def cache(tmp_path: Path) -> ArtifactCache:
    return ArtifactCache(tmp_path / "cache")


def cached(cache: ArtifactCache, manifest: Manifest) -> dict[str, bytes]:
    with cache.open(manifest.digest) as folder:
        return tree(folder)


# --- ways


def test_a_new_artifact_comes_from_the_origin_and_enters_the_region(
    origin: MemoryStore, region: MemoryStore, cache: ArtifactCache
) -> None:
    manifest = publish(origin, FILES)
    progress: list[int] = []
    report = Fetcher(origin, region, cache).fetch(
        manifest.digest, keys.manifest(manifest.digest), size_bytes=TOTAL, on_progress=progress.append
    )
    assert cached(cache, manifest) == FILES
    assert (report.bytes_moved, report.bytes_saved, report.bytes_total) == (TOTAL, 0, TOTAL)
    assert set(report.stage_seconds) == {"manifest", "verify", "origin", "regional", "stage"}
    assert sum(progress) == TOTAL
    assert {info.key for info in region.list("")} == {info.key for info in origin.list("")}


def test_the_second_machine_of_a_region_reads_from_the_regional_bucket(
    origin: MemoryStore, region: MemoryStore, cache: ArtifactCache, tmp_path: Path
) -> None:
    manifest = publish(origin, FILES)
    Fetcher(origin, region, cache).fetch(manifest.digest)
    watched, elsewhere = Wrapped(origin), ArtifactCache(tmp_path / "elsewhere")
    report = Fetcher(watched, region, elsewhere).fetch(manifest.digest)
    assert cached(elsewhere, manifest) == FILES
    assert (report.bytes_moved, report.bytes_saved) == (0, TOTAL)
    assert watched.blobs_opened == []


def test_what_is_in_the_cache_moves_nothing(origin: MemoryStore, region: MemoryStore, cache: ArtifactCache) -> None:
    manifest = publish(origin, FILES)
    fetcher = Fetcher(origin, region, cache)
    fetcher.fetch(manifest.digest)
    origin.delete(keys.manifest(manifest.digest))
    progress: list[int] = []
    report = fetcher.fetch(manifest.digest, on_progress=progress.append)
    assert (report.bytes_moved, report.bytes_saved) == (0, TOTAL)
    assert sum(progress) == TOTAL


def test_a_regional_bucket_that_was_emptied_is_filled_from_the_cache(
    origin: MemoryStore, region: MemoryStore, cache: ArtifactCache
) -> None:
    manifest = publish(origin, FILES)
    Fetcher(origin, region, cache).fetch(manifest.digest)
    emptied = MemoryStore("emptied")
    report = Fetcher(Wrapped(origin), emptied, cache).fetch(manifest.digest)
    assert report.bytes_moved == 0
    assert {info.key for info in emptied.list("")} == {info.key for info in origin.list("")}


def test_files_that_an_older_version_has_are_not_moved(
    origin: MemoryStore, region: MemoryStore, cache: ArtifactCache
) -> None:
    old = publish(origin, FILES)
    new = publish(origin, {**FILES, "model.onnx": noise(2 * MIB, 9)})
    fetcher = Fetcher(origin, region, cache)
    fetcher.fetch(old.digest)
    report = fetcher.fetch(new.digest)
    assert report.bytes_moved == 2 * MIB
    assert report.bytes_saved == 900
    assert cached(cache, new)["tokenizer/vocab.txt"] == FILES["tokenizer/vocab.txt"]


def test_files_that_the_region_has_are_not_moved(
    origin: MemoryStore, region: MemoryStore, cache: ArtifactCache
) -> None:
    manifest = publish(origin, FILES)
    region.put(keys.blob(sha256_of(FILES["model.onnx"])), FILES["model.onnx"])
    report = Fetcher(origin, region, cache).fetch(manifest.digest)
    assert report.bytes_moved == 900
    assert cached(cache, manifest) == FILES


def test_a_damaged_file_of_another_artifact_is_not_taken_over(
    origin: MemoryStore, region: MemoryStore, cache: ArtifactCache
) -> None:
    old = publish(origin, FILES)
    new = publish(origin, {**FILES, "new": b"new"})
    Fetcher(origin, region, cache).fetch(old.digest)
    with cache.open(old.digest) as folder:
        (folder / "tokenizer/vocab.txt").write_bytes(b"x" * 900)
    Fetcher(origin, region, cache).fetch(new.digest)
    assert cached(cache, new) == {**FILES, "new": b"new"}


def test_equal_files_of_one_artifact_are_moved_once(origin: MemoryStore, cache: ArtifactCache) -> None:
    files = {"a/weights": noise(MIB + 1), "b/weights": noise(MIB + 1), "c": b"c"}
    manifest = publish(origin, files)
    report = Fetcher(origin, None, cache).fetch(manifest.digest)
    assert report.bytes_moved == MIB + 2
    assert cached(cache, manifest) == files


def test_many_small_files_arrive(origin: MemoryStore, region: MemoryStore, cache: ArtifactCache) -> None:
    files = {f"f/{i % 7}/{i}": noise(i, i) for i in range(200)}
    manifest = publish(origin, files)
    Fetcher(origin, region, cache).fetch(manifest.digest)
    assert cached(cache, manifest) == files


def test_a_large_file_is_read_in_parts(origin: MemoryStore, cache: ArtifactCache) -> None:
    manifest = publish(origin, {"w": noise(20 * MIB + 5)})
    watched = Wrapped(origin)
    Fetcher(watched, None, cache).fetch(manifest.digest)
    assert len(watched.blobs_opened) == 3
    assert watched.blob_bytes_read == 20 * MIB + 5


# --- damage


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
    fetcher = Fetcher(origin, region, cache)
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
    with pytest.raises(VerificationFailed, match="the log says 5"):
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


# --- the link


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

    link_bytes = 3 * MIB // 2

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


def test_a_part_goes_on_where_the_link_broke(origin: MemoryStore, cache: ArtifactCache) -> None:
    manifest = publish(origin, {"w": noise(3 * MIB)})
    report = Fetcher(CutsAfter(origin), None, cache).fetch(manifest.digest)
    assert cached(cache, manifest)["w"] == noise(3 * MIB)
    assert report.bytes_moved <= 4 * MIB


def test_a_link_that_trickles_is_given_up(
    origin: MemoryStore, cache: ArtifactCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_module, "FLOOR_AFTER_SECONDS", 0.1)
    manifest = publish(origin, {"w": noise(1000)})

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
        Fetcher(origin, None, cache).fetch(manifest.digest, on_progress=progress, cancelled=stop.is_set)
    assert not cache.has(manifest.digest)
    report = Fetcher(origin, None, cache).fetch(manifest.digest)
    assert report.bytes_moved <= 24 * MIB - 12 * MIB + READERS * MIB  # the blocks that had begun
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


def test_two_threads_that_want_one_artifact_move_it_once(
    origin: MemoryStore, region: MemoryStore, cache: ArtifactCache
) -> None:
    manifest = publish(origin, {"w": noise(8 * MIB)})
    watched = Wrapped(origin)
    fetcher = Fetcher(watched, region, cache)
    reports = []
    threads = [threading.Thread(target=lambda: reports.append(fetcher.fetch(manifest.digest))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(reports) == 6
    assert watched.blob_bytes_read == 8 * MIB
    assert sum(report.bytes_moved for report in reports) == 8 * MIB


def test_waiting_for_another_fetch_can_be_cancelled(origin: MemoryStore, cache: ArtifactCache) -> None:
    manifest = publish(origin, FILES)
    with cache.fetching(manifest.digest), pytest.raises(FetchCancelled):
        Fetcher(origin, None, cache).fetch(manifest.digest, cancelled=lambda: True)
