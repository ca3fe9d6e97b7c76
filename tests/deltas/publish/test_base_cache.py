"""The folder of bases: bounded, content-addressed, and of use only while its disk has room."""

import os
import shutil
import time
from pathlib import Path

import pytest

from modelcast.deltas.publish.bases import cache as base_cache
from modelcast.deltas.publish.bases.cache import BaseCache, has_digest
from modelcast.infra.settings_publish import PublishSettings
from modelcast.schemas.digests import sha256_of


def cache(folder: Path, size_max: int = 1000) -> BaseCache:
    return BaseCache(PublishSettings(base_cache_dir=folder / "bases", base_cache_size_max_bytes=size_max))


def write(folder: Path, name: str, body: bytes) -> tuple[Path, str]:
    (folder / name).write_bytes(body)
    return folder / name, sha256_of(body)


def test_a_kept_file_outlives_the_one_that_it_was_copied_from(tmp_path: Path) -> None:
    path, digest = write(tmp_path, "m", b"weights")
    assert cache(tmp_path).keep(path, digest, 7)
    with path.open("r+b") as same_inode:
        same_inode.write(b"WEIGHTS")
    path.unlink()
    kept = cache(tmp_path).find(digest, 7)
    assert kept is not None
    assert has_digest(kept, digest)


def test_the_longest_unused_go_first_when_room_is_needed(tmp_path: Path) -> None:
    bases = cache(tmp_path, 250)
    files = [write(tmp_path, name, name.encode() * 100) for name in "abc"]
    for age, (path, digest) in enumerate(files[:2]):
        assert bases.keep(path, digest, 100)
        kept = bases.find(digest, 100)
        assert kept is not None
        os.utime(kept, (time.time() - 100 + age, time.time() - 100 + age))
    assert bases.find(files[0][1], 100) is not None  # used: now the newer of the two
    assert bases.keep(*files[2], 100)
    assert [bases.find(digest, 100) is not None for _, digest in files] == [True, False, True]


def test_what_is_larger_than_all_of_it_drives_nothing_out(tmp_path: Path) -> None:
    bases = cache(tmp_path, 250)
    path, digest = write(tmp_path, "a", b"a" * 100)
    bases.keep(path, digest, 100)
    assert not bases.keep(*write(tmp_path, "b", b"b" * 251), 251)
    assert bases.find(digest, 100) is not None


def test_a_disk_that_is_nearly_full_gets_no_bases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_cache.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10_000, 8_950, 1_050))
    assert not cache(tmp_path).keep(*write(tmp_path, "a", b"a" * 100), 100)
    assert cache(tmp_path).keep(*write(tmp_path, "b", b"b" * 40), 40)


def test_a_disk_that_others_have_filled_costs_no_base_in_vain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bases = cache(tmp_path)
    path, digest = write(tmp_path, "a", b"a" * 100)
    assert bases.keep(path, digest, 100)
    monkeypatch.setattr(base_cache.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10_000, 9_500, 500))
    assert not bases.keep(*write(tmp_path, "b", b"b" * 40), 40)
    assert bases.find(digest, 100) is not None
    monkeypatch.setattr(base_cache.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10_000, 9_050, 950))
    assert bases.keep(*write(tmp_path, "c", b"c" * 40), 40)  # this one is worth the other's place
    assert bases.find(digest, 100) is None


def test_a_base_of_another_length_is_no_base(tmp_path: Path) -> None:
    path, digest = write(tmp_path, "a", b"a" * 100)
    bases = cache(tmp_path)
    bases.keep(path, digest, 100)
    kept = bases.find(digest, 100)
    assert kept is not None
    kept.write_bytes(b"cut off")
    assert bases.find(digest, 100) is None
    assert not kept.exists()


def test_a_folder_that_cannot_be_written_only_means_no_bases(tmp_path: Path) -> None:
    (tmp_path / "bases").write_text("a file is in its place")
    bases = cache(tmp_path)
    assert not bases.keep(*write(tmp_path, "a", b"a"), 1)
    assert bases.find(sha256_of(b"a"), 1) is None
    with bases.scratch() as folder:
        (folder / "x").write_bytes(b"x")
    assert not folder.exists()
