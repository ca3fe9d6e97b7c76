"""Measured speeds."""

import pytest

from modelcast.consumers.fetch.costs import Speeds
from modelcast.consumers.fetch.gauge import LINK_BYTES_MIN, SAMPLES, Gauge

MIB = 1024 * 1024


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def transfer(gauge: Gauge, clock: Clock, size_bytes: int, seconds: float) -> None:
    with gauge.over_the_link(lambda: size_bytes):
        clock.now += seconds


def test_what_was_not_measured_is_guessed_and_said_to_be(clock: Clock) -> None:
    gauge = Gauge(clock)
    assert gauge.speeds() == Speeds()
    assert gauge.origin_bytes_per_second == 0


def test_the_link_is_as_fast_as_its_last_transfers_together(clock: Clock) -> None:
    gauge = Gauge(clock)
    transfer(gauge, clock, 10 * MIB, 1.0)
    transfer(gauge, clock, 10 * MIB, 3.0)
    assert gauge.origin_bytes_per_second == pytest.approx(5 * MIB)
    for _ in range(SAMPLES):
        transfer(gauge, clock, 2 * MIB, 1.0)
    assert gauge.origin_bytes_per_second == pytest.approx(2 * MIB)
    assert gauge.speeds().measured


def test_small_transfers_say_nothing_of_the_link(clock: Clock) -> None:
    gauge = Gauge(clock)
    transfer(gauge, clock, LINK_BYTES_MIN - 1, 60.0)
    assert not gauge.speeds().measured


def test_transfers_that_overlap_count_as_one(clock: Clock) -> None:
    gauge = Gauge(clock)
    with gauge.over_the_link(lambda: 30 * MIB):
        clock.now += 1
        transfer(gauge, clock, 10 * MIB, 2.0)
        clock.now += 1
    assert gauge.origin_bytes_per_second == pytest.approx(10 * MIB)


def test_requests_rebuilds_and_the_region_are_measured(clock: Clock) -> None:
    gauge = Gauge(clock)
    for seconds in (0.1, 0.3, 5.0):
        with gauge.request():
            clock.now += seconds
    gauge.rebuilt(100 * MIB, 2.0, has_base=True)
    gauge.rebuilt(100 * MIB, 1.0, has_base=False)
    gauge.rebuilt(1, 10.0, has_base=True)
    gauge.from_the_region(50 * MIB, 0.5)
    speeds = gauge.speeds()
    assert speeds.origin_request_seconds == pytest.approx(0.3)
    assert speeds.decode_bytes_per_second == pytest.approx(50 * MIB)
    assert speeds.unpack_bytes_per_second == pytest.approx(100 * MIB)
    assert speeds.region_bytes_per_second == pytest.approx(100 * MIB)


def test_a_request_that_fails_is_not_measured(clock: Clock) -> None:
    gauge = Gauge(clock)
    with pytest.raises(OSError), gauge.request():
        clock.now += 60
        raise OSError
    assert gauge.speeds().origin_request_seconds == Speeds().origin_request_seconds
