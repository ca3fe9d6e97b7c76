"""What is asked of a log becomes readings: none is forgotten, and a log that is not obeyed is not read all the time."""

from modelcast.agents.region.decider.log_demand import LogDemand, LogReading
from modelcast.agents.region.decider.policy import Policy

POLICY = Policy(whole_read_pause=5.0)


def begun(
    demand: LogDemand, now: float = 100.0, *, known: bool = True, obeyed: bool = True
) -> tuple[LogReading, LogDemand]:
    return demand.next(now, POLICY, known=known, obeyed=obeyed)


def test_a_reading_goes_as_far_as_the_highest_generation_that_was_asked_for() -> None:
    reading, rest = begun(LogDemand().reaching(7).reaching(3))
    assert reading == LogReading(7, refresh=False, whole=False, at=100.0)
    assert rest.met_by(reading)
    assert not rest.reaching(8).met_by(reading)
    assert rest.reaching(7).met_by(reading)


def test_what_is_asked_while_a_reading_is_under_way_asks_for_another() -> None:
    reading, rest = begun(LogDemand().refreshing())
    assert reading.refresh
    assert rest.met_by(reading)
    assert not rest.refreshing().met_by(reading)


def test_a_log_is_read_whole_the_first_time_and_while_it_is_not_obeyed() -> None:
    assert begun(LogDemand(), known=False)[0].whole
    assert begun(LogDemand(), obeyed=False)[0].whole
    assert not begun(LogDemand())[0].whole


def test_a_log_that_is_not_obeyed_is_read_from_entry_1_now_and_then_however_many_ask() -> None:
    first, rest = begun(LogDemand(), obeyed=False)
    second, rest = begun(rest.reaching(50), now=100.1, obeyed=False)
    third, _ = begun(rest.reaching(51), now=120.0, obeyed=False)
    assert (first.at, second.at, third.at) == (100.0, 105.0, 120.0)
    assert begun(rest, now=101.0)[0].at == 101.0, "once it is obeyed, nothing waits"


def test_a_reading_that_failed_is_asked_for_again_and_failures_in_a_row_are_counted() -> None:
    reading, rest = begun(LogDemand().refreshing())
    failed = rest.failed(reading).failed(reading)
    assert failed.refresh
    assert failed.failures == 2
    assert failed.answered().failures == 0
    assert not rest.failed(begun(LogDemand())[0]).refresh
