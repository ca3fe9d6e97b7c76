"""Pauses between attempts double up to a bound."""

from modelcast.schemas.backoff import backoff_seconds


def test_pauses_double_up_to_the_longest() -> None:
    assert [backoff_seconds(0.5, failures, 5.0) for failures in range(1, 7)] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_before_any_failure_the_first_pause_holds() -> None:
    assert backoff_seconds(0.5, 0, 5.0) == backoff_seconds(0.5, -3, 5.0) == 0.5


def test_no_number_of_failures_overflows() -> None:
    assert backoff_seconds(1.0, 10**9, 60.0) == 60.0
    assert backoff_seconds(1.0, 10**9) == 2.0**30
