"""What a fetch has cost is noted for the next attempt; where it can't be, nothing is left open."""

import os
from pathlib import Path

import pytest

from modelcast.consumers.fetch import Source
from modelcast.consumers.fetch.meter import FetchMeter


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture(autouse=True)
def noted_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelcast.consumers.fetch.meter.NOTED_EVERY_SECONDS", -1.0)


def test_a_full_disk_costs_no_descriptors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    meter = FetchMeter()
    with meter.kept(tmp_path / "crossed", 17):
        meter.moved(Source.ORIGIN, 1)
        before = open_descriptors()
        monkeypatch.setattr(os, "pwrite", full)
        for _ in range(50):
            meter.moved(Source.ORIGIN, 1)
        assert open_descriptors() == before
    assert meter.had_bytes == 17
    assert not (tmp_path / "crossed").exists()


def test_what_crossed_is_noted_while_it_comes_for_the_next_attempt(tmp_path: Path) -> None:
    meter = FetchMeter()
    with pytest.raises(OSError), meter.kept(tmp_path / "crossed", 17):
        meter.moved(Source.ORIGIN, 100)
        meter.moved(Source.REGION, 1000)
        assert int((tmp_path / "crossed").read_text()) == 117
        raise OSError
    after = FetchMeter()
    with after.kept(tmp_path / "crossed", 0):
        assert after.had_bytes == 117
    assert not (tmp_path / "crossed").exists()
