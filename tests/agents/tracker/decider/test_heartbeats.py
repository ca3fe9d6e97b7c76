"""Silence is measured between Kafka's clock and ours, whatever lies between the two."""

import pytest

from modelcast.agents.tracker.decider.heartbeats import SAMPLES, WORKER_SECONDS_MAX, WORKERS_MAX, Heartbeats
from modelcast.schemas.records import RegionHeartbeat
from tests.agents.tracker.makers import REGISTRY, SECOND

NOW_US = 10_000 * SECOND


def hear(beats: Heartbeats, region: str, appended_us: int, live_at_us: int | None, worker: str = "w") -> None:
    beats.hear(RegionHeartbeat(REGISTRY, region, worker, 1, 1, 1), b"", appended_us, live_at_us)


def test_a_region_is_heard_through_any_of_its_workers() -> None:
    beats = Heartbeats()
    hear(beats, "eu", NOW_US, NOW_US, "a")
    hear(beats, "eu", NOW_US - 60 * SECOND, None, "b")
    assert beats.silent(("eu",), NOW_US, 15) == frozenset()
    assert set(beats.workers) == {"eu/a", "eu/b"}


def test_silence_begins_after_the_limit_and_a_region_never_heard_is_silent() -> None:
    beats = Heartbeats()
    hear(beats, "eu", NOW_US, NOW_US)
    assert beats.silent(("eu", "us"), NOW_US + 15 * SECOND, 15) == {"us"}
    assert beats.silent(("eu", "us"), NOW_US + 15 * SECOND + 1, 15) == {"eu", "us"}


@pytest.mark.parametrize("ahead_seconds", [-40, 0, 40])
def test_clocks_apart_neither_hide_nor_make_silence(ahead_seconds: int) -> None:
    beats, ahead = Heartbeats(), ahead_seconds * SECOND
    for n in range(5):
        sent = NOW_US + n * 5 * SECOND
        hear(beats, "eu", sent - ahead, sent + n * SECOND // 10)
    last = NOW_US + 20 * SECOND
    assert beats.silent(("eu",), last + 14 * SECOND, 15) == frozenset()
    assert beats.silent(("eu",), last + 16 * SECOND, 15) == {"eu"}


def test_old_heartbeats_say_nothing_of_the_clocks() -> None:
    beats = Heartbeats()
    hear(beats, "eu", NOW_US - 3600 * SECOND, None)
    assert beats.ahead_us == 0
    assert beats.silent(("eu",), NOW_US, 15) == {"eu"}


def test_a_clock_that_was_set_is_believed_after_a_while() -> None:
    beats = Heartbeats()
    hear(beats, "eu", NOW_US, NOW_US)
    for n in range(SAMPLES):
        hear(beats, "eu", NOW_US + n * SECOND, NOW_US + (n + 100) * SECOND)
    assert beats.ahead_us == 100 * SECOND


def test_made_up_workers_are_kept_in_a_bounded_number_and_those_heard_last_stay() -> None:
    beats = Heartbeats()
    hear(beats, "us", NOW_US, None, "true")
    for n in range(WORKERS_MAX + 50):
        hear(beats, "eu", NOW_US + n * 2, None, f"made-up-{n}")
        hear(beats, "eu", NOW_US + n * 2 + 1, None, "true")
    assert len(beats.workers_of("eu")) == WORKERS_MAX
    assert {"eu/true", f"eu/made-up-{WORKERS_MAX + 49}", "us/true"} <= set(beats.workers)
    assert "eu/made-up-0" not in beats.workers


def test_a_worker_that_is_silent_for_a_day_is_forgotten_when_another_comes() -> None:
    beats = Heartbeats()
    hear(beats, "eu", NOW_US, None, "gone")
    hear(beats, "eu", NOW_US + 1, None, "late")
    hear(beats, "eu", NOW_US + 1 + int(WORKER_SECONDS_MAX * SECOND), None, "new")
    assert beats.workers_of("eu") == ["eu/late", "eu/new"]
