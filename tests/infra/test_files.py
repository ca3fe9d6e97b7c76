"""Files appear whole or not at all, and locks end with their holder."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from modelcast.infra.files.files import sha256_of_file, written_aside
from modelcast.infra.files.locks import acquire, held, held_if_free
from modelcast.schemas.digests import sha256_of

HOLDER = """
import sys, time
from pathlib import Path
from modelcast.infra.files.locks import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


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
