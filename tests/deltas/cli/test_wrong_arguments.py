"""Wrong arguments of ``modelcast delta``: what its parser lets through."""

import os
import resource
from pathlib import Path

import pytest

from tests.cli.conftest import Cli

USAGE = [
    ("delta make . /dev/null out", "one is a file, the other a folder"),
    ("delta make . . .", ".: the file to write is a folder"),
    ("delta apply . . out --digest sha256:00", "bad digest 'sha256:00'"),
    ("delta publish fraud", "which version?"),
]


@pytest.mark.parametrize(("command", "told"), USAGE, ids=[c for c, _ in USAGE])
def test_what_makes_no_sense_is_a_usage_error(cli: Cli, command: str, told: str) -> None:
    ended = cli(*command.split())
    assert (ended.code, ended.out) == (2, "")
    *_, error, hint = ended.err.splitlines()
    assert error.startswith("error ")
    assert told in error
    assert hint.startswith("  → ")


PATHS = [
    ("delta make nowhere . out", 1, "nowhere: no such file or folder"),
    ("delta make /dev/null /dev/null nowhere/out", 1, "nowhere/out: no such file or directory"),
    ("delta apply . nowhere out", 1, "nowhere: no such file or folder"),
    ("delta apply . . out", 1, ".: this is a folder, not a file"),
    ("delta apply . /dev/null out", 4, "this is not a delta"),
    ("delta info nowhere", 1, "nowhere: no such file"),
    ("delta info /dev/null", 4, "this is not a delta"),
]


@pytest.mark.parametrize(("command", "code", "told"), PATHS, ids=[c for c, *_ in PATHS])
def test_what_can_not_be_read_or_written_is_named(cli: Cli, command: str, code: int, told: str) -> None:
    ended = cli(*command.split())
    assert (ended.code, ended.out) == (code, "")
    assert told in ended.err
    assert ended.err.splitlines()[-1].startswith("  → ")


def test_a_disk_that_is_full_is_named(cli: Cli, tmp_path: Path) -> None:
    old, new, delta = (tmp_path / name for name in ("old", "new", "delta"))
    for file in (old, new):
        file.write_bytes(os.urandom(100_000))
    limit, before = 50_000, resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        ended = cli("delta", "make", old, new, delta)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert ended.code == 1
    assert "file too large\n  → make room there" in ended.err
    assert sorted(tmp_path.iterdir()) == [new, old]
