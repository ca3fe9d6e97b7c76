"""A disk that fills while a file is rebuilt."""

from pathlib import Path

from tests.faults.test_full_disk import outcomes_of


def test_a_disk_that_fills_during_a_rebuild_leaves_what_served_serving() -> None:
    outcomes = outcomes_of(Path(__file__).with_name("full_disk_stages.py"))
    assert outcomes == {"make": "refused", "_apply": "passed"}  # what is made had its room taken before
