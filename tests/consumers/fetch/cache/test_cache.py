"""The local cache: what is open or kept is not evicted, what is damaged not given out, what is half-done not seen."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from modelcast.consumers.artifacts.sources import ArtifactMissing
from modelcast.consumers.fetch import ArtifactCache, DiskFull, Fetcher, RegionalArtifacts
from modelcast.consumers.fetch.cache.artifact_cache import ABANDONED_AFTER_SECONDS
from modelcast.infra.stores import MemoryStore
from modelcast.schemas.digests import hex_of, sha256_of
from modelcast.schemas.errors import VerificationFailed
from modelcast.schemas.manifest import Manifest
from tests.consumers.fetch.publishing import MIB, damage, noise, publish, tree


@pytest.fixture
def origin() -> MemoryStore:
    return MemoryStore("origin")


def bring(cache: ArtifactCache, origin: MemoryStore, seed: int, size: int = MIB, **kwargs: object) -> Manifest:
    """Publish and fetch an artifact of ``size`` bytes."""
    manifest = publish(origin, {"w": noise(size, seed)})
    Fetcher(origin, None, cache).fetch(manifest.digest, **kwargs)  # type: ignore[arg-type]
    time.sleep(0.005)  # so that the times of use differ
    return manifest


def holding(cache: ArtifactCache, manifest: Manifest) -> subprocess.Popen[str]:
    """Another process that has the artifact open until its stdin closes."""
    script = (
        "import sys; from pathlib import Path; from modelcast.consumers.fetch import ArtifactCache\n"
        "with ArtifactCache(Path(sys.argv[1])).open(sys.argv[2]) as folder:\n"
        "    print('open', flush=True); sys.stdin.read(); print((folder / 'w').stat().st_size, flush=True)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(cache.folder), manifest.digest],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    return process


def test_opening_gives_the_files_and_nothing_else(tmp_path: Path, origin: MemoryStore) -> None:
    cache = ArtifactCache(tmp_path)
    files = {"model.onnx": b"1", "data/model.onnx.data": b"22", "manifest.json": b"a file of the artifact"}
    manifest = publish(origin, files)
    Fetcher(origin, None, cache).fetch(manifest.digest)
    with cache.open(manifest.digest) as folder:
        assert tree(folder) == files
        assert all((folder / path).stat().st_nlink == 1 for path in files)


def test_what_is_not_here_is_missing(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path)
    with pytest.raises(ArtifactMissing), cache.open(sha256_of(b"")):
        pass
    with pytest.raises(ArtifactMissing):
        cache.manifest(sha256_of(b""))
    assert not cache.has(sha256_of(b""))


@pytest.mark.parametrize("harm", ["byte", "shorter", "gone", "more", "manifest"])
def test_damage_on_the_disk_is_found_thrown_away_and_fetched_again(
    tmp_path: Path, origin: MemoryStore, harm: str
) -> None:
    cache = ArtifactCache(tmp_path)
    manifest = bring(cache, origin, 1)
    with cache.open(manifest.digest) as folder:
        match harm:
            case "byte":
                (folder / "w").write_bytes(noise(MIB - 1, 1) + b"?")
            case "shorter":
                os.truncate(folder / "w", 100)
            case "gone":
                (folder / "w").unlink()
            case "more":
                (folder / "extra").write_bytes(b"")
            case "manifest":
                (folder.parent / "manifest.json").write_bytes(b"{}")
    again = ArtifactCache(tmp_path)
    with pytest.raises(VerificationFailed), again.open(manifest.digest):
        pass
    assert not again.has(manifest.digest)
    Fetcher(origin, None, again).fetch(manifest.digest)
    with again.open(manifest.digest) as folder:
        assert tree(folder) == {"w": noise(MIB, 1)}


def test_the_least_recently_used_goes_first(tmp_path: Path, origin: MemoryStore) -> None:
    cache = ArtifactCache(tmp_path, size_max_bytes=3 * MIB + 200_000)
    first, second, third = (bring(cache, origin, seed) for seed in (1, 2, 3))
    with cache.open(first.digest):
        pass
    assert cache.digests() == [second.digest, third.digest, first.digest]
    fourth = bring(cache, origin, 4)
    assert set(cache.digests()) == {first.digest, third.digest, fourth.digest}
    assert cache.used_bytes() <= 3 * MIB + 200_000


def test_what_is_kept_is_never_evicted(tmp_path: Path, origin: MemoryStore) -> None:
    cache = ArtifactCache(tmp_path, size_max_bytes=2 * MIB + 200_000)
    first, second = bring(cache, origin, 1), bring(cache, origin, 2)
    third = bring(cache, origin, 3, keep={first.digest})
    assert set(cache.digests()) == {first.digest, third.digest}
    assert not cache.has(second.digest)
    with pytest.raises(DiskFull) as caught:
        bring(cache, origin, 4, keep={first.digest, third.digest})
    assert caught.value.retryable
    assert set(cache.digests()) == {first.digest, third.digest}


def test_nothing_is_evicted_in_vain(tmp_path: Path, origin: MemoryStore) -> None:
    cache = ArtifactCache(tmp_path, size_max_bytes=2 * MIB + 200_000)
    first = bring(cache, origin, 1)
    with pytest.raises(DiskFull, match="no room"):
        bring(cache, origin, 2, size=3 * MIB)
    assert cache.has(first.digest)


def test_what_another_process_has_open_is_never_evicted(tmp_path: Path, origin: MemoryStore) -> None:
    cache = ArtifactCache(tmp_path, size_max_bytes=2 * MIB + 200_000)
    first, second = bring(cache, origin, 1), bring(cache, origin, 2)
    reader = holding(cache, first)
    third = bring(cache, origin, 3)
    assert set(cache.digests()) == {first.digest, third.digest}
    assert not cache.evict(first.digest)
    assert not cache.has(second.digest)
    output, _ = reader.communicate("")
    assert output == f"{MIB}\n"
    assert cache.evict(first.digest)
    assert not cache.has(first.digest)


def test_a_reader_that_is_killed_lets_go(tmp_path: Path, origin: MemoryStore) -> None:
    cache = ArtifactCache(tmp_path)
    manifest = bring(cache, origin, 1)
    reader = holding(cache, manifest)
    assert not cache.evict(manifest.digest)
    reader.kill()
    reader.communicate()
    assert cache.evict(manifest.digest)
    assert list((tmp_path / "trash").iterdir()) == []


def test_shared_files_count_once(tmp_path: Path, origin: MemoryStore) -> None:
    cache = ArtifactCache(tmp_path, size_max_bytes=3 * MIB)
    weights = noise(2 * MIB, 1)
    for version in range(4):
        manifest = publish(origin, {"weights": weights, "version": b"%d" % version})
        Fetcher(origin, None, cache).fetch(manifest.digest)
    assert len(cache.digests()) == 4
    assert cache.used_bytes() < 2 * MIB + 300_000


def test_a_forgotten_fetch_is_swept_and_a_fresh_one_resumed(tmp_path: Path, origin: MemoryStore) -> None:
    cache = ArtifactCache(tmp_path)
    old, fresh = publish(origin, {"w": noise(MIB, 1)}), publish(origin, {"w": noise(MIB, 2)})
    for manifest in (old, fresh):
        with cache.fetching(manifest.digest) as incoming:
            incoming.begin(manifest)
            cache.reserve(incoming, manifest.files)
    long_ago = time.time() - ABANDONED_AFTER_SECONDS - 60
    os.utime(tmp_path / "incoming" / hex_of(old.digest), (long_ago, long_ago))
    ArtifactCache(tmp_path)
    assert [p.name for p in (tmp_path / "incoming").iterdir()] == [hex_of(fresh.digest)]


def test_locks_of_what_is_gone_are_swept(tmp_path: Path, origin: MemoryStore) -> None:
    cache = ArtifactCache(tmp_path)
    gone, here = bring(cache, origin, 1), bring(cache, origin, 2)
    assert cache.evict(gone.digest)
    in_progress = publish(origin, {"w": noise(10, 3)})
    with cache.fetching(in_progress.digest), cache.open(here.digest):
        again = ArtifactCache(tmp_path)
        held = {f"{hex_of(in_progress.digest)}.fetch", f"{hex_of(here.digest)}.fetch", f"{hex_of(here.digest)}.use"}
        assert {path.name for path in (tmp_path / "locks").iterdir()} == held | {"room"}
        assert not again.evict(here.digest)


def test_a_forgotten_fetch_makes_room_before_artifacts_do(tmp_path: Path, origin: MemoryStore) -> None:
    cache = ArtifactCache(tmp_path, size_max_bytes=2 * MIB + 200_000)
    first = bring(cache, origin, 1)
    left = publish(origin, {"w": noise(MIB, 2)})
    with cache.fetching(left.digest) as incoming:
        incoming.begin(left)
        cache.reserve(incoming, left.files)
    third = bring(cache, origin, 3)
    assert set(cache.digests()) == {first.digest, third.digest}
    assert list((tmp_path / "incoming").iterdir()) == []


def test_a_fetch_in_progress_keeps_its_room(tmp_path: Path, origin: MemoryStore) -> None:
    cache = ArtifactCache(tmp_path, size_max_bytes=MIB + 200_000)
    manifest = publish(origin, {"w": noise(MIB, 1)})
    with cache.fetching(manifest.digest) as incoming:
        incoming.begin(manifest)
        cache.reserve(incoming, manifest.files)
        with pytest.raises(DiskFull):
            bring(cache, origin, 2)
        assert incoming.path(manifest.files[0]).exists()


def test_a_full_disk_is_named_and_leaves_the_cache_usable(on_small_disk: Callable[[str], str]) -> None:
    assert on_small_disk("full_disk_scenario.py") == "refused\nevicted\nraced\nsound\n"


def test_a_pods_source_fills_the_cache_from_the_region(tmp_path: Path, origin: MemoryStore) -> None:
    region = origin
    manifest = publish(region, {"w": noise(MIB, 1)})
    with pytest.raises(ArtifactMissing), RegionalArtifacts(tmp_path / "only").open(manifest.digest):
        pass
    source = RegionalArtifacts(tmp_path / "cache", lambda: region)
    with source.open(manifest.digest) as folder:
        assert tree(folder) == {"w": noise(MIB, 1)}
        (folder / "w").write_bytes(b"rotten")
    with source.open(manifest.digest) as folder:
        assert tree(folder) == {"w": noise(MIB, 1)}
        (folder / "w").write_bytes(b"rotten again")
    damage(region, manifest.files[0].digest)
    with pytest.raises(VerificationFailed), source.open(manifest.digest):
        pass
    region.delete(manifest.files[0].digest)
    with pytest.raises(ArtifactMissing), source.open(sha256_of(b"unknown")):
        pass


def test_a_cache_removed_under_a_living_process_is_filled_again(tmp_path: Path, origin: MemoryStore) -> None:
    cache = ArtifactCache(tmp_path / "cache")
    manifest = bring(cache, origin, 1)
    shutil.rmtree(tmp_path / "cache")
    assert not cache.has(manifest.digest)
    Fetcher(origin, None, cache).fetch(manifest.digest)
    with cache.open(manifest.digest) as folder:
        assert (folder / "w").read_bytes() == noise(MIB, 1)


def test_the_numbers_of_no_room_add_up(tmp_path: Path, origin: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = ArtifactCache(tmp_path / "cache")
    manifest = publish(origin, {"w": noise(4 * MIB, 1)})
    monkeypatch.setattr(ArtifactCache, "disk_free_bytes", lambda _: 10 * MIB)
    with pytest.raises(DiskFull) as caught:
        Fetcher(origin, None, cache).fetch(manifest.digest)
    need, lacking, free, stays = map(int, re.findall(r"\d+", caught.value.message)[:4])
    assert (need, free, stays) == (4 * MIB, 10 * MIB, 16 * MIB)
    assert lacking == need + stays - free
    assert "of which 16777216 stay free" in caught.value.message
