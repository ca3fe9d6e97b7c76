"""The dashboard under many watchers, as the benchmark has it, in a small form."""

import pytest

from tests.bench.watching import watchers

pytestmark = [pytest.mark.soak, pytest.mark.timeout(120)]


def test_hundreds_of_watchers_all_hear_and_take_little() -> None:
    found = watchers.measure(20, 10, 20, 300)
    assert found["resyncs"] == 0
    assert 0 < found["delivery_us"] < 1_000
    assert found["kib_a_watcher"] < 100
    assert found["changed_model_ms"] < 500
