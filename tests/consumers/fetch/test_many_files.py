"""Artifacts of very many small files: how far they are is told, disks are synced once, and memory is given back."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from modelcast.consumers.fetch import ArtifactCache, Fetcher, FetchStatus
from modelcast.consumers.fetch.cache import artifact_cache
from modelcast.consumers.fetch.job import status
from modelcast.consumers.fetch.job.status import MANY_FILES
from modelcast.infra.files import syncing
from modelcast.infra.stores import MemoryStore
from tests.consumers.fetch.publishing import Wrapped, cached, publish

MANY = {f"{i % 50}/{i}": f"file {i}".encode() for i in range(MANY_FILES + 200)}


def test_how_many_files_have_come_is_told(
    origin: MemoryStore, region: MemoryStore, cache: ArtifactCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "TOLD_EVERY_SECONDS", 0.001)
    told: list[FetchStatus] = []
    first = publish(origin, MANY)
    Fetcher(origin, region, cache).fetch(first.digest, on_status=told.append)
    ways = [each.way for each in told]
    assert all(each.bytes_planned in {0, first.size_bytes} for each in told)
    for doing in ("fetching", "entering the region"):
        counts = [int(way.partition(f"{doing}: ")[2].split()[0]) for way in ways if f"{doing}: " in way]
        assert counts == sorted(counts), doing
        assert len(set(counts)) > 2, doing
        assert f"of {len(MANY)} files" in next(way for way in ways if doing in way)
    assert any(way.startswith(f"{len(MANY)} wholes; fetching: ") for way in ways)
    told.clear()
    second = publish(origin, MANY | {"more": b"more"})
    Fetcher(origin, region, cache).fetch(second.digest, on_status=told.append)
    assert any("checking what is here: " in each.way for each in told)
    assert cached(cache, second) == MANY | {"more": b"more"}


def test_few_files_are_told_of_in_bytes(origin: MemoryStore, cache: ArtifactCache) -> None:
    told: list[FetchStatus] = []
    manifest = publish(origin, {"large": bytes(300_000), "small": b"x"})
    Fetcher(origin, None, cache).fetch(manifest.digest, on_status=told.append)
    assert {each.way for each in told} == {"2 wholes"}


@pytest.mark.parametrize("more", [{}, {"new": bytes(400_000)}], ids=["all of it", "but for one file"])
def test_how_few_large_files_come_from_the_region_is_told(
    origin: MemoryStore, region: MemoryStore, cache: ArtifactCache, tmp_path: Path, more: dict[str, bytes]
) -> None:
    files = {"large": b"l" * 300_000, "larger": b"L" * 500_000}
    Fetcher(origin, region, ArtifactCache(tmp_path / "elsewhere")).fetch(publish(origin, files).digest)
    told: list[FetchStatus] = []
    manifest = publish(origin, files | more)
    report = Fetcher(origin, region, cache).fetch(manifest.digest, on_status=told.append)
    assert {each.way for each in told} == {report.way} == {"2 from the region" + (", 1 whole" if more else "")}
    assert {each.bytes_planned for each in told} == {len(more.get("new", b""))}


def test_many_files_are_synced_together_before_the_artifact_appears(
    origin: MemoryStore, cache: ArtifactCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = publish(origin, MANY)
    alone: list[int] = []
    synced: list[int] = []
    together = syncing._sync_file_system

    def watched(folder: Path) -> bool:
        synced.append(sum(len(names) for _, _, names in os.walk(folder / "files")))
        assert not cache.has(manifest.digest)
        done = together(folder)
        assert not cache.has(manifest.digest)
        return done

    monkeypatch.setattr(os, "fsync", alone.append)
    monkeypatch.setattr(syncing, "_sync_file_system", watched)
    Fetcher(origin, None, cache).fetch(manifest.digest)
    assert synced == [len(MANY)]
    assert alone == []
    assert cached(cache, manifest) == MANY


def test_what_is_known_of_very_many_files_is_bounded_and_read_again(
    origin: MemoryStore, cache: ArtifactCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifact_cache, "MANY_FILES", 1000)
    monkeypatch.setattr(artifact_cache, "REMEMBERED_FILES_MAX", 2500)
    watched, many = Wrapped(origin), [MANY | {f"more {n}": b"%d" % n} for n in range(4)]
    few = publish(origin, {"few": b"few"})
    manifests = [publish(origin, files) for files in many]
    Fetcher(origin, None, cache).fetch(few.digest)
    for manifest in manifests[:3]:
        Fetcher(origin, None, cache).fetch(manifest.digest)
    Fetcher(watched, None, cache).fetch(manifests[3].digest)
    assert watched.blob_bytes_read == 1
    assert len(cache._manifests) == 3
    assert few.digest[7:] in cache._manifests
    assert cache._files.keys() == {few.digest[7:]}
    for manifest, files in zip(manifests, many, strict=True):
        assert cached(cache, manifest) == files


HUNGRY = """
import sys
from pathlib import Path
from modelcast.consumers.fetch import ArtifactCache, Fetcher
from modelcast.infra.stores import MemoryStore
from tests.consumers.fetch.publishing import publish

def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

cache, origin = ArtifactCache(Path(sys.argv[1])), MemoryStore()
fetcher = Fetcher(origin, None, cache)
fetcher.fetch(publish(origin, {"small": b"x"}).digest)
digests = [publish(origin, {f"{n}/{i % 100}/{i}": f"{n} {i}".encode() for i in range(20_000)}).digest for n in (1, 2)]
before = resident()
for digest in digests:
    fetcher.fetch(digest)
print((resident() - before) >> 20)
"""


@pytest.mark.soak
def test_memory_that_very_many_files_took_is_given_back(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HUNGRY, tmp_path / "cache"],
        cwd=Path(__file__).parents[3],
        check=True,
        timeout=240,
        capture_output=True,
        text=True,
    )
    assert int(done.stdout) < 50
