"""When a disk is full is told only where it fills, and only after it was watched for a while."""

import pytest

from modelcast.dashboard.view.disks import SAMPLE_SECONDS, SAMPLES_MIN, DiskForecast
from modelcast.dashboard.view.overview import Worker
from modelcast.schemas.records import RegionHeartbeat

GIB = 2**30


def watched(*free_gib: float) -> DiskForecast:
    disks = DiskForecast()
    for turn, free in enumerate(free_gib):
        beat = RegionHeartbeat("r", "eu", "w1", turn, 1, 1, disk_free_bytes=round(free * GIB))
        for now in (turn * SAMPLE_SECONDS, turn * SAMPLE_SECONDS + 1):  # the second is too soon, and is no sample
            disks.sample({"eu": (Worker(beat, 1),)}, now)
    return disks


def test_a_disk_that_fills_is_full_when_its_pace_says() -> None:
    disks = watched(*(100 - turn for turn in range(SAMPLES_MIN)))
    left = 100 - (SAMPLES_MIN - 1)
    assert disks.full_in_seconds("eu", "w1") == pytest.approx(left * SAMPLE_SECONDS)


@pytest.mark.parametrize(
    "free", [[100.0] * SAMPLES_MIN, [50.0 + turn for turn in range(SAMPLES_MIN)], [100 - t for t in range(5)]]
)
def test_of_a_disk_that_does_not_fill_or_is_not_known_for_long_nothing_is_told(free: list[float]) -> None:
    assert watched(*free).full_in_seconds("eu", "w1") is None
    assert watched(*free).full_in_seconds("eu", "another") is None
