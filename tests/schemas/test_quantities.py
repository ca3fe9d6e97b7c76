"""Quantities as people read them."""

import pytest

from modelcast.schemas.quantities import duration, size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "—"), (-3, "0.0 s"), (0.04, "0.0 s"), (0.42, "0.4 s"), (9.94, "9.9 s"), (9.96, "10 s"), (48.4, "48 s"),
        (99.4, "99 s"), (99.6, "1.7 min"), (180, "3 min"), (372, "6.2 min"), (840, "14 min"), (5_940, "99 min"),
        (5_999, "1.7 h"), (11_520, "3.2 h"), (36_000, "10 h"), (172_799, "48 h"), (172_800, "2 d"), (518_400, "6 d"),
        (216_000, "2.5 d"),
    ],
)  # fmt: skip
def test_durations_have_two_figures(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "—"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (12 * 2**20, "12 MiB"),
        (700 * 2**30, "700 GiB"),
    ],
)
def test_sizes_have_binary_units(count: float | None, text: str) -> None:
    assert size(count) == text
