"""However full the disk of these tests is, bases have room."""

import shutil

import pytest

from modelcast.producers.deltas import base_cache

TIB = 1 << 40


@pytest.fixture(autouse=True)
def roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests of full disks say otherwise."""
    empty = shutil.disk_usage("/")._replace(total=TIB, used=0, free=TIB)
    monkeypatch.setattr(base_cache.shutil, "disk_usage", lambda _: empty)
