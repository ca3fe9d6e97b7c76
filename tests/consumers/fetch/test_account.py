"""What a fetch has cost is noted for the next attempt; where it can't be, nothing is left open."""

import os
from pathlib import Path

import pytest

from modelcast.consumers.fetch.job.meter import Account


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_full_disk_costs_no_descriptors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("modelcast.consumers.fetch.job.meter.NOTED_EVERY_SECONDS", -1.0)
    account = Account()
    with account.kept(tmp_path / "crossed", 17):
        asked = account.noting(lambda: False)
        assert not asked()
        before = open_descriptors()
        monkeypatch.setattr(os, "pwrite", full)
        for _ in range(50):
            assert not asked()
        assert open_descriptors() == before
    assert account.had_bytes == 17
    assert not (tmp_path / "crossed").exists()
