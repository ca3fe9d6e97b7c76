"""What is read past the page cache is the same."""

import errno
import os
from pathlib import Path

import pytest

from modelcast.consumers.fetch.uncached import uncached_digest_of
from modelcast.schemas.digests import sha256_of
from tests.consumers.fetch.publishing import MIB, noise


@pytest.mark.parametrize("size_bytes", [0, 1, 4096, MIB - 1, MIB, MIB + 1, 2 * MIB, 5 * MIB + 12345])
def test_the_digest_is_that_of_the_bytes(tmp_path: Path, size_bytes: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(noise(size_bytes))
    assert uncached_digest_of(path) == sha256_of(noise(size_bytes))


@pytest.mark.parametrize("refusing", ["open", "preadv"])
def test_a_file_system_that_refuses_is_read_through_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusing: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(noise(3 * MIB))

    def refuse(*_: object) -> int:
        raise OSError(errno.EINVAL, "refused")

    with monkeypatch.context() as patch:
        patch.setattr(os, refusing, refuse)
        got = uncached_digest_of(path)
    assert got == sha256_of(noise(3 * MIB))


def test_what_the_disk_says_otherwise_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(noise(3 * MIB))

    def broken(*_: object) -> int:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "preadv", broken)
    with pytest.raises(OSError, match="broken"):
        uncached_digest_of(path)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        uncached_digest_of(tmp_path / "file")
