"""Fetching: what is near is not moved, and what is far is moved once."""

import threading
from pathlib import Path

import pytest

from modelcast.consumers.fetch import ArtifactCache, FetchCancelled, Fetcher
from modelcast.infra.stores import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.digests import sha256_of
from tests.consumers.fetch.publishing import FILES, MIB, TOTAL, Wrapped, cached, noise, publish

pytestmark = pytest.mark.usefixtures("short_pauses")


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
    assert set(report.stage_seconds) == {"manifest", "plan", "verify", "origin", "regional", "stage"}
    assert report.stage_times_us.keys() == report.stage_seconds.keys()
    for stage, (begun_us, ended_us) in report.stage_times_us.items():
        assert ended_us - begun_us >= report.stage_seconds[stage] * 900_000 or stage in {"origin", "regional"}, stage
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
    assert 4 <= len(watched.blobs_opened) <= 10
    assert watched.blob_bytes_read == 20 * MIB + 5


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
    manifest, cancel = publish(origin, FILES), threading.Event()
    cancel.set()
    with cache.fetching(manifest.digest), pytest.raises(FetchCancelled):
        Fetcher(origin, None, cache).fetch(manifest.digest, cancel=cancel)
