"""The disk on which a real server looks for models is full: what it serves it serves on, no version is blamed."""

from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]


@pytest.mark.parametrize("kind", ["triton", "mlserver"])
def test_a_server_whose_disk_is_full_goes_on_serving_and_takes_the_next_version(
    kind: str, on_small_disk: Callable[[str], str]
) -> None:
    scenario = Path(__file__).with_name("full_disk_server_scenario.py")
    assert on_small_disk(f"{scenario} {kind}").splitlines() == [
        *["out_of_resources True True"] * 2,
        "serves 1 answers 1",
        "serves 3 answers 3",
    ]
