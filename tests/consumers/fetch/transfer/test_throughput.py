"""Measured speeds."""

import pytest

from modelcast.consumers.fetch import LinkSpeeds
from modelcast.consumers.fetch.planning.bandwidth import Allowance
from modelcast.consumers.fetch.transfer.throughput import LINK_BYTES_MIN, SAMPLES, Throughput

MIB = 1024 * 1024


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def transfer(throughput: Throughput, clock: Clock, size_bytes: int, seconds: float) -> None:
    with throughput.over_the_link(lambda: size_bytes):
        clock.now += seconds


def test_what_was_not_measured_is_guessed_and_said_to_be(clock: Clock) -> None:
    throughput = Throughput(clock)
    assert throughput.speeds() == LinkSpeeds()
    assert throughput.origin_bytes_per_second == 0


def test_the_link_is_as_fast_as_most_of_its_last_transfers(clock: Clock) -> None:
    throughput = Throughput(clock)
    for _ in range(SAMPLES):
        transfer(throughput, clock, 10 * MIB, 1.0)
    transfer(throughput, clock, 100 * MIB, 100.0)
    assert throughput.origin_bytes_per_second == pytest.approx(10 * MIB)
    for _ in range(2):
        transfer(throughput, clock, 10 * MIB, 5.0)
    assert throughput.origin_bytes_per_second == pytest.approx(2 * MIB)
    assert throughput.speeds().measured


class Limit:
    """What may be taken of the link, as it is now."""

    bytes_per_second: float | None = None
    share = 1.0

    def __call__(self) -> Allowance:
        return Allowance(self.bytes_per_second, self.share)


@pytest.fixture
def limit() -> Limit:
    return Limit()


def test_after_changes_of_the_limit_no_more_is_believed_than_the_one_in_force(clock: Clock, limit: Limit) -> None:
    throughput = Throughput(clock, limit)
    for rate in (10.0, 4.0, 1.0):
        limit.bytes_per_second = rate * MIB
        assert throughput.speeds().origin_bytes_per_second <= rate * MIB
        if rate > 1:
            transfer(throughput, clock, 20 * MIB, 20 / rate)
    assert throughput.speeds().origin_bytes_per_second == throughput.of_the_region() == MIB
    assert throughput.speeds().measured


def test_a_limit_that_is_lifted_leaves_what_the_link_showed_without_it(clock: Clock, limit: Limit) -> None:
    throughput = Throughput(clock, limit)
    transfer(throughput, clock, 50 * MIB, 1.0)
    limit.bytes_per_second = MIB
    for _ in range(3):
        transfer(throughput, clock, 60 * MIB, 60.0)
    assert throughput.of_the_region() == MIB
    limit.bytes_per_second = None
    assert throughput.of_the_region() == pytest.approx(50 * MIB)


def test_where_only_a_limit_was_met_the_link_without_it_is_not_known(clock: Clock, limit: Limit) -> None:
    throughput = Throughput(clock, limit)
    limit.bytes_per_second = MIB
    transfer(throughput, clock, 60 * MIB, 62.0)
    assert throughput.of_the_region() == pytest.approx(60 * MIB / 62)
    limit.bytes_per_second = None
    assert throughput.of_the_region() == throughput.origin_bytes_per_second == 0
    assert throughput.speeds().origin_bytes_per_second == LinkSpeeds().origin_bytes_per_second
    transfer(throughput, clock, 20 * MIB, 1.0)
    assert throughput.of_the_region() == pytest.approx(20 * MIB)


def test_a_limit_that_changes_under_way_still_held_the_transfer(clock: Clock, limit: Limit) -> None:
    throughput = Throughput(clock, limit)
    limit.bytes_per_second = MIB
    with throughput.over_the_link(lambda: 70 * MIB):
        clock.now += 50
        limit.bytes_per_second = None
        clock.now += 1
    assert throughput.of_the_region() == 0


def test_a_link_that_is_slower_than_its_limit_is_measured(clock: Clock, limit: Limit) -> None:
    throughput = Throughput(clock, limit)
    limit.bytes_per_second = 100 * MIB
    transfer(throughput, clock, 20 * MIB, 10.0)
    limit.bytes_per_second = None
    assert throughput.of_the_region() == pytest.approx(2 * MIB)


def test_a_share_of_the_limit_plans_for_itself_and_speaks_for_the_region(clock: Clock, limit: Limit) -> None:
    throughput = Throughput(clock, limit)
    limit.bytes_per_second, limit.share = 4 * MIB, 0.5
    transfer(throughput, clock, 20 * MIB, 10.0)
    assert throughput.speeds().origin_bytes_per_second == 2 * MIB
    assert throughput.of_the_region() == 4 * MIB


def test_who_holds_back_for_a_moment_plans_as_if_alone(clock: Clock, limit: Limit) -> None:
    throughput = Throughput(clock, limit)
    limit.bytes_per_second, limit.share = MIB, 0.0
    assert throughput.speeds().origin_bytes_per_second == MIB


def test_small_transfers_say_nothing_of_the_link(clock: Clock) -> None:
    throughput = Throughput(clock)
    transfer(throughput, clock, LINK_BYTES_MIN - 1, 60.0)
    assert not throughput.speeds().measured


def test_transfers_that_overlap_count_as_one(clock: Clock) -> None:
    throughput = Throughput(clock)
    with throughput.over_the_link(lambda: 30 * MIB):
        clock.now += 1
        transfer(throughput, clock, 10 * MIB, 2.0)
        clock.now += 1
    assert throughput.origin_bytes_per_second == pytest.approx(10 * MIB)


def test_requests_and_the_region_are_measured(clock: Clock) -> None:
    throughput = Throughput(clock)
    for seconds in (0.1, 0.3, 5.0):
        with throughput.request():
            clock.now += seconds
    throughput.from_the_region(50 * MIB, 0.5)
    speeds = throughput.speeds()
    assert speeds.origin_request_seconds == pytest.approx(0.3)
    assert speeds.region_bytes_per_second == pytest.approx(100 * MIB)


def test_a_request_that_fails_is_not_measured(clock: Clock) -> None:
    throughput = Throughput(clock)
    with pytest.raises(OSError), throughput.request():
        clock.now += 60
        raise OSError
    assert throughput.speeds().origin_request_seconds == LinkSpeeds().origin_request_seconds
