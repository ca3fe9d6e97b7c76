"""``--at`` of what is to happen: a time of the day, a date, or how long from now."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from modelcast.cli.options import instant_ahead
from modelcast.schemas.errors import UsageError

NOW = datetime(2026, 11, 30, 9, 30, 0, tzinfo=timezone(timedelta(hours=1)))


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("10m", datetime(2026, 11, 30, 8, 40, tzinfo=UTC)),
        ("09:45", datetime(2026, 11, 30, 8, 45, tzinfo=UTC)),
        ("09:30", datetime(2026, 12, 1, 8, 30, tzinfo=UTC)),
        ("2026-12-01T07:00:00.250Z", datetime(2026, 12, 1, 7, 0, 0, 250_000, tzinfo=UTC)),
        ("2026-12-01 07:00", datetime(2026, 12, 1, 6, 0, tzinfo=UTC)),
    ],
)
def test_a_time_to_come(text: str, at: datetime) -> None:
    assert instant_ahead(text, NOW) == round(at.timestamp() * 1e6)


@pytest.mark.parametrize("text", ["", "soon", "0s", "-1m", "25:00", "2026-11-30T08:29Z", "9" * 30 + "d"])
def test_what_is_none_or_has_passed_is_refused_with_how_to_write_it(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        instant_ahead(text, NOW)
    assert "the next one" in str(caught.value.hint)
