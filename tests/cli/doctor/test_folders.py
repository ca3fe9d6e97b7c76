"""Folders are judged before they are there: by the nearest one around them."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from modelcast.cli.doctor.checks import Check, Result
from modelcast.cli.doctor.machine import Folder, Room, check_folder, folders
from modelcast.infra.settings import RegionSettings, Settings
from modelcast.infra.settings_publish import PublishSettings
from tests.cli.conftest import Cli

GIB = 1024**3


class Disk:
    """A machine on which some folders have something wrong with them."""

    def __init__(self, locks: Mapping[Path, str] | None = None, free_bytes: int = 60 * GIB) -> None:
        self.locks, self.free_bytes = locks or {}, free_bytes
        self.asked: list[Path] = []

    def open_files(self) -> tuple[int, int]:
        return 65536, 65536

    def lock(self, folder: Path) -> str:
        self.asked.append(folder)
        return self.locks.get(folder, "")

    def room(self, folder: Path) -> Room:
        self.asked.append(folder)
        return Room(self.free_bytes, 100 * GIB)


class Unasked(Disk):
    def room(self, folder: Path) -> Room:
        raise PermissionError(13, "Permission denied")


def cache(path: Path) -> Folder:
    return Folder(path, "regions.eu.cache_dir", locked=True, limit_bytes=GIB, role="region eu")


def judged(disk: Disk, folder: Folder, role: str = "") -> list[Check]:
    return list(check_folder(disk, folder, role))


def test_a_folder_that_is_not_there_yet_is_judged_by_its_nearest_parent(tmp_path: Path) -> None:
    disk = Disk()
    lock, room = judged(disk, cache(tmp_path / "a" / "b" / "c"))
    assert set(disk.asked) == {tmp_path}
    assert (lock.result, room.result) == (Result.ok, Result.ok)
    assert lock.detail == f"not there yet; in {tmp_path}: can be written, and has locks"
    assert "60 GiB free" in room.detail


@pytest.mark.parametrize("trouble", ["no file can be made there: Permission denied", "the file system has no locks"])
def test_one_that_cannot_be_made_is_an_error_where_its_role_is_filled(tmp_path: Path, trouble: str) -> None:
    disk = Disk({tmp_path: trouble})
    mine, elsewhere = (judged(disk, cache(tmp_path / "a"), role)[0] for role in ("region eu", "region us"))
    assert (mine.result, elsewhere.result) == (Result.error, Result.warning)
    assert trouble in mine.detail
    assert "name a folder on a local disk in regions.eu.cache_dir" in mine.hint
    assert "leave it, if no region eu runs here" in elsewhere.hint


def test_room_is_judged_before_the_folder_is_there(tmp_path: Path) -> None:
    _, room = judged(Disk(free_bytes=1), cache(tmp_path / "a"), "region eu")
    assert room.result is Result.error
    assert "nothing can be written there" in room.detail


def test_a_disk_that_tells_nothing_ends_no_check(tmp_path: Path) -> None:
    assert [c.result for c in judged(Unasked(), cache(tmp_path))] == [Result.ok, Result.warning]


def test_a_path_below_a_file_is_named(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "file").touch()
    path = str(tmp_path / "file" / "cache")
    ended = cli(
        *("doctor", "--only", "machine", "--role", "region eu", "-o", "json"),
        MODELCAST_REGIONS__EU__CACHE_DIR=path, MODELCAST_STORES__ORIGIN__URL="s3://b",
    )  # fmt: skip
    assert ended.code == 1
    assert f"not there yet; in {tmp_path / 'file'}: no file can be made there: Not a directory" in ended.out


def test_the_folder_for_bases_is_looked_at_although_nothing_names_it(tmp_path: Path) -> None:
    regions = {"eu": RegionSettings(cache_dir=tmp_path)}
    found = {f.setting: f for f in folders(Settings(regions=regions, publish=PublishSettings()), tmp_path / "bases")}
    assert found["publish.base_cache_dir"].path == tmp_path / "bases"
    assert found["regions.eu.cache_dir"].role == "region eu"
    named = Settings(publish=PublishSettings(base_cache_dir=tmp_path / "named"))
    assert [f.path for f in folders(named, tmp_path / "bases")][-1] == tmp_path / "named"
    for unused in (PublishSettings(deltas=False), PublishSettings(base_cache_size_max_bytes=0)):
        assert len(folders(Settings(publish=unused), tmp_path / "bases")) == 1
