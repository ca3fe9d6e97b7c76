"""The disk of a server's model repository is full: a version is not blamed, the old one stays, room lets it go on."""

from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


def test_a_companion_whose_disk_is_full_goes_on_serving_and_takes_the_next_version(
    on_small_disk: Callable[[str], str],
) -> None:
    scenario = Path(__file__).with_name("full_disk_companion_scenario.py")
    assert on_small_disk(str(scenario)).splitlines() == [
        *["out_of_resources True"] * 3,
        "serves 1 1",
        "serves 3",
    ]
