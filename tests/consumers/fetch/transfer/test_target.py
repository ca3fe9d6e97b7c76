"""Writing past the page cache where that is possible, through it everywhere else."""

import ctypes
import errno
import mmap
import os
from pathlib import Path

import pytest

from modelcast.consumers.fetch.transfer.target import DIRECT_ALIGN_BYTES, BlockBuffers, Target
from modelcast.infra.files import sha256_of_file
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.manifest import BLOCK_SIZE_BYTES
from tests.consumers.fetch.publishing import MIB, noise


def preallocated(folder: Path, size_bytes: int) -> Path:
    path = folder / "file"
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size_bytes)
    return path


def aligned(data: bytes) -> memoryview:
    """The bytes in memory that begins at a page."""
    memory = memoryview(mmap.mmap(-1, len(data)))
    memory[:] = data
    return memory


def beginnings_in_cache(path: Path) -> list[bool]:
    """Whether the first 128 KiB of each block are (of a block the kernel may take less at once, not less than that).

    Asked in a way that brings nothing there.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    size_bytes = path.stat().st_size
    answer = (ctypes.c_ubyte * (size_bytes // mmap.PAGESIZE))()
    with path.open("r+b") as file, mmap.mmap(file.fileno(), size_bytes) as pages:
        start = ctypes.c_char.from_buffer(pages)
        failed = libc.mincore(ctypes.byref(start), ctypes.c_size_t(size_bytes), answer)
        del start
    assert not failed, os.strerror(ctypes.get_errno())
    blocks = [answer[at : at + 128 * 1024 // mmap.PAGESIZE] for at in range(0, len(answer), MIB // mmap.PAGESIZE)]
    return [all(page & 1 for page in pages) for pages in blocks]


def is_direct(fd: int) -> bool:
    flags = Path(f"/proc/self/fdinfo/{fd}").read_text().split("flags:")[1].split()[0]
    return bool(int(flags, 8) & os.O_DIRECT)


class Writes:
    """What is really written, and how."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.direct: list[tuple[int, int]] = []
        self.buffered: list[tuple[int, int]] = []
        self._pwrite = os.pwrite
        monkeypatch.setattr(os, "pwrite", self.pwrite)

    def pwrite(self, fd: int, data: memoryview, at: int) -> int:
        (self.direct if is_direct(fd) else self.buffered).append((at, len(data)))
        return self._pwrite(fd, data, at)


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> Writes:
    return Writes(monkeypatch)


@pytest.fixture
def on_disk(tmp_path: Path) -> Path:
    """A folder whose file system takes direct writes."""
    path = tmp_path / "probe"
    path.write_bytes(b"")
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_DIRECT))
    except OSError:
        pytest.skip("this file system refuses direct writes")
    return tmp_path


def test_whole_pages_go_past_the_cache_and_the_rest_through_it(on_disk: Path, writes: Writes) -> None:
    data = noise(2 * MIB + 12345)
    path = preallocated(on_disk, len(data))
    with Target(path, direct=True) as target:
        for start, end in ((0, MIB), (MIB, MIB + 1000), (MIB + 1000, 2 * MIB), (2 * MIB, len(data))):
            target.write(aligned(data[start:end]), start)
    assert path.read_bytes() == data
    assert writes.direct == [(0, MIB)]
    assert writes.buffered == [(MIB, 1000), (MIB + 1000, MIB - 1000), (2 * MIB, 12345)]


def test_what_was_written_past_the_cache_is_in_it_after_the_second_look(on_disk: Path) -> None:
    """A pod that loads it does not wait for the disk."""
    data = noise(9 * MIB + 17)
    path = preallocated(on_disk, len(data))
    with Target(path, direct=True) as target:
        for start in range(0, 9 * MIB, MIB):
            target.write(aligned(data[start : start + MIB]), start)
        target.write(aligned(data[9 * MIB :]), 9 * MIB)
    assert not any(beginnings_in_cache(path)[:9])
    assert sha256_of_file(path) == sha256_of(data)
    assert all(beginnings_in_cache(path)[:9])


def test_nothing_goes_past_the_cache_unless_asked(on_disk: Path, writes: Writes) -> None:
    path = preallocated(on_disk, MIB)
    with Target(path) as target:
        target.write(aligned(noise(MIB)), 0)
    assert path.read_bytes() == noise(MIB)
    assert writes.direct == []


def test_memory_that_does_not_begin_at_a_page_is_written_all_the_same(on_disk: Path) -> None:
    data = noise(2 * MIB)
    path = preallocated(on_disk, len(data))
    with Target(path, direct=True) as target:
        for start in (0, MIB):
            target.write(memoryview(b"x" + data[start : start + MIB])[1:], start)
    assert path.read_bytes() == data


@pytest.mark.parametrize("refusal", [errno.EINVAL, errno.EOPNOTSUPP])
def test_a_file_system_that_refuses_at_the_first_write_is_asked_once(
    on_disk: Path, monkeypatch: pytest.MonkeyPatch, refusal: int
) -> None:
    asked, pwrite = [], os.pwrite

    def refusing(fd: int, data: memoryview, at: int) -> int:
        if is_direct(fd):
            asked.append(at)
            raise OSError(refusal, "refused")
        return pwrite(fd, data, at)

    monkeypatch.setattr(os, "pwrite", refusing)
    data = noise(3 * MIB)
    path = preallocated(on_disk, len(data))
    with Target(path, direct=True) as target:
        for start in range(0, len(data), MIB):
            target.write(aligned(data[start : start + MIB]), start)
    assert path.read_bytes() == data
    assert asked == [0]


def test_a_file_system_that_refuses_to_open_is_written_through_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_file = os.open

    def refusing(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, "refused")
        return open_file(path, flags, mode)

    monkeypatch.setattr(os, "open", refusing)
    path = preallocated(tmp_path, MIB)
    with Target(path, direct=True) as target:
        target.write(aligned(noise(MIB)), 0)
    assert path.read_bytes() == noise(MIB)


def test_what_the_disk_says_otherwise_is_raised(on_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, data: memoryview, at: int) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "pwrite", full)
    with Target(preallocated(on_disk, MIB), direct=True) as target, pytest.raises(OSError, match="full"):
        target.write(aligned(noise(MIB)), 0)


def test_short_writes_are_gone_on_with(on_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: pwrite(fd, data[: 16 * DIRECT_ALIGN_BYTES], at))
    data = noise(MIB)
    path = preallocated(on_disk, len(data))
    for direct in (True, False):
        with Target(path, direct=direct) as target:
            target.write(aligned(data), 0)
        assert path.read_bytes() == data
        data = data[::-1]


def test_memory_is_used_again_and_never_by_two() -> None:
    buffers = BlockBuffers()
    with buffers.one() as first, buffers.one() as second:
        assert len(first) == len(second) == BLOCK_SIZE_BYTES
        first[:1], second[:1] = b"a", b"b"
        assert first[0] == ord("a")
    with buffers.one() as again, buffers.one() as other:
        assert {again[0], other[0]} == {ord("a"), ord("b")}
