"""How far a fetch has come, told while it runs."""

import threading

import pytest

from modelcast.consumers.fetch.job import status as status_module
from modelcast.consumers.fetch.job.status import FetchStatus, Ticker
from modelcast.consumers.fetch.meter import FetchMeter
from modelcast.consumers.fetch.planning.steps import Source


def test_the_plan_is_told_at_once_and_what_moves_until_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_module, "TOLD_EVERY_SECONDS", 0.01)
    told: list[FetchStatus] = []
    meter, seen = FetchMeter(), threading.Event()

    def tell(status: FetchStatus) -> None:
        told.append(status)
        if status.bytes_moved == 500:
            seen.set()

    with Ticker(tell, meter) as ticker:
        assert not told
        ticker.planned(1000, "delta from 3")
        assert (told[0].bytes_planned, told[0].way, told[0].bytes_moved) == (1000, "delta from 3", 0)
        meter.moved(Source.ORIGIN, 500)
        assert seen.wait(60)
        ticker.planned(2000, "whole")
        count = len(told)
    assert any((status.bytes_planned, status.way) == (2000, "whole") for status in told)
    assert next(s for s in told if s.bytes_moved == 500).bytes_per_second > 0
    assert len(told) >= count
    assert not [t for t in threading.enumerate() if t.name == "fetch-status"]


def test_where_nobody_listens_or_nothing_is_planned_no_thread_is_started() -> None:
    def tell(status: FetchStatus) -> None:
        raise AssertionError(status)

    with Ticker(None, FetchMeter()) as ticker, Ticker(tell, FetchMeter()):
        ticker.planned(1, "whole")
        assert not [t for t in threading.enumerate() if t.name == "fetch-status"]
