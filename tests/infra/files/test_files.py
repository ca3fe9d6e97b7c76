"""Files appear whole or not at all, and locks end with their holder."""

import ctypes
import errno
import fcntl
import os
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from modelcast.infra.files import syncing
from modelcast.infra.files.copies import copy
from modelcast.infra.files.files import hidden_name, sha256_of_file, written_aside
from modelcast.infra.files.locks import NoLocks, acquire, held, held_if_free
from modelcast.infra.files.syncing import folders_of, sync_all
from modelcast.infra.freed_memory import give_back
from modelcast.schemas.digests import sha256_of

HOLDER = """
import sys, time
from pathlib import Path
from modelcast.infra.files.locks import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def open_below(folder: Path) -> list[str]:
    """What this process has open in ``folder``, itself included."""
    targets = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # of another thread, closed meanwhile
            targets.append(str(descriptor.readlink()))
    return [target for target in targets if target.startswith(str(folder))]


@pytest.mark.parametrize("durable", [True, False])
def test_what_is_written_aside_takes_its_place_when_the_block_ends_well(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / ("模" * 80)
    path.write_bytes(b"old")
    with written_aside(path, mode=0o600, durable=durable) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), written_aside(path) as file:
        file.write(b"ne")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EIO])
def test_a_disk_that_refuses_is_named_by_what_was_to_be_written(tmp_path: Path, number: int) -> None:
    with pytest.raises(OSError, match=os.strerror(number)) as caught, written_aside(tmp_path / "out"):
        raise OSError(number, os.strerror(number))
    assert caught.value.filename == str(tmp_path / "out")
    with pytest.raises(OSError, match="another") as caught, written_aside(tmp_path / "out"):
        raise OSError(number, "another", "/elsewhere")
    assert caught.value.filename == "/elsewhere"


def test_a_files_digest_is_that_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(3_000_001))
    assert sha256_of_file(tmp_path / "file") == sha256_of(bytes(3_000_001))


def test_a_lock_is_one_holders_until_that_one_dies(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with held_if_free(path) as free:
            assert not free
        assert acquire(path, shared=True, wait=False) is None
        holder.kill()
        holder.wait(60)
        with held_if_free(path) as free:
            assert free
    finally:
        holder.kill()
        holder.wait(60)
        if holder.stdout:
            holder.stdout.close()


def test_readers_share_a_lock_that_a_writer_does_not_get(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held(path, shared=True), held(path, shared=True), held_if_free(path) as free:
        assert not free


def test_a_lock_on_a_file_that_was_removed_meanwhile_is_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, opened = tmp_path / "lock", os.open

    def removed_once(*args: object, **more: object) -> int:
        descriptor = opened(*args, **more)  # type: ignore[arg-type]
        monkeypatch.setattr(os, "open", opened)
        path.unlink()
        return descriptor

    monkeypatch.setattr(os, "open", removed_once)
    with held(path) as descriptor:
        assert os.path.samestat(os.fstat(descriptor), path.stat())


def test_a_folder_is_locked_only_if_it_is_there(tmp_path: Path) -> None:
    with held_if_free(tmp_path, folder=True) as free:
        assert free
    with pytest.raises(FileNotFoundError):
        acquire(tmp_path / "gone", folder=True)
    assert not (tmp_path / "gone").exists()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refused(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refused)
    open_before = open_below(tmp_path)
    for locked in (held(tmp_path / "lock"), held_if_free(tmp_path / "lock"), held_if_free(tmp_path, folder=True)):
        with pytest.raises(NoLocks, match="can't lock files") as caught, locked:
            raise AssertionError
        assert caught.value.subject
        assert "mount" in caught.value.hint
    assert open_below(tmp_path) == open_before == []


def test_other_errors_of_a_lock_are_what_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(fcntl, "flock", broken)
    with pytest.raises(OSError, match="broken"), held(tmp_path / "lock"):
        raise AssertionError


@pytest.mark.parametrize("name", ["short", "模" * 80, "模" * 85, "b" * 255, "😀" * 63])
def test_a_hidden_name_fits_and_tells_names_apart(tmp_path: Path, name: str) -> None:
    hidden = {hidden_name(name, ".partial"), hidden_name(name[:-1] + "x", ".partial")}
    assert len(hidden) == 2
    for each in hidden:
        (tmp_path / each).touch()
        assert each.startswith(".")
        assert each.endswith(".partial")


@pytest.mark.parametrize("count", [3, 200])
@pytest.mark.parametrize("together", [True, False])
def test_many_files_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, together: bool
) -> None:
    files = [tmp_path / f"{i % 7}" / f"{i}" for i in range(count)]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"x")
    folders = folders_of(tmp_path, files)
    assert folders == {tmp_path, *(tmp_path / f"{i}" for i in range(min(count, 7)))}
    synced: list[str] = []
    fsync, all_of_it = os.fsync, syncing._sync_file_system
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(str(Path(f"/proc/self/fd/{fd}").readlink())) or fsync(fd))
    monkeypatch.setattr(syncing, "_sync_file_system", lambda folder: together and all_of_it(folder))
    sync_all(tmp_path, [*files, *folders])
    assert set(synced) == (set() if together and count == 200 else {str(path) for path in (*files, *folders)})


def test_a_file_system_that_can_t_be_synced_at_once_is_no_error_and_a_broken_disk_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Library:
        def __init__(self, *_: object, **__: object) -> None:
            pass

        @staticmethod
        def syncfs(_: int) -> int:
            ctypes.set_errno(number)
            return -1

    monkeypatch.setattr(ctypes, "CDLL", Library)
    number = errno.ENOSYS
    assert not syncing._sync_file_system(tmp_path)
    number = errno.EIO
    with pytest.raises(OSError, match="Input/output") as caught:
        syncing._sync_file_system(tmp_path)
    assert caught.value.filename == str(tmp_path)


def test_a_copy_is_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a" * 3_000_000)
    (tmp_path / "b").write_bytes(b"longer" * 1_000_000)
    copy(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"a" * 3_000_000
    (tmp_path / "b").write_bytes(b"other")
    assert (tmp_path / "a").read_bytes() == b"a" * 3_000_000


def test_memory_goes_back_to_the_system_or_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    give_back()
    monkeypatch.setattr(ctypes, "CDLL", lambda *_: object())
    give_back()
