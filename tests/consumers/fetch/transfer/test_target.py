"""Writing into a preallocated file, and the memory that is written from."""

import errno
import os
from pathlib import Path

import pytest

from modelcast.consumers.fetch.transfer.target import BlockBuffers, Target
from modelcast.schemas.manifest import BLOCK_SIZE_BYTES
from tests.consumers.fetch.publishing import MIB, noise


def preallocated(folder: Path, size_bytes: int) -> Path:
    path = folder / "file"
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size_bytes)
    return path


def test_pieces_land_at_their_places(tmp_path: Path) -> None:
    data = noise(2 * MIB + 12345)
    path = preallocated(tmp_path, len(data))
    with Target(path) as target:
        for start, end in ((2 * MIB, len(data)), (MIB + 1000, 2 * MIB), (0, MIB), (MIB, MIB + 1000)):
            target.write(memoryview(data[start:end]), start)
    assert path.read_bytes() == data


def test_what_the_disk_says_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, data: memoryview, at: int) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "pwrite", full)
    with Target(preallocated(tmp_path, MIB)) as target, pytest.raises(OSError, match="full"):
        target.write(memoryview(noise(MIB)), 0)


def test_short_writes_are_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: pwrite(fd, data[:65_536], at))
    path = preallocated(tmp_path, MIB)
    with Target(path) as target:
        target.write(memoryview(noise(MIB)), 0)
    assert path.read_bytes() == noise(MIB)


def test_memory_is_used_again_and_never_by_two() -> None:
    buffers = BlockBuffers()
    with buffers.one() as first, buffers.one() as second:
        assert len(first) == len(second) == BLOCK_SIZE_BYTES
        first[:1], second[:1] = b"a", b"b"
        assert first[0] == ord("a")
    with buffers.one() as again, buffers.one() as other:
        assert {again[0], other[0]} == {ord("a"), ord("b")}
