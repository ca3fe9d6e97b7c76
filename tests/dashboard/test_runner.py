"""What the dashboard says of itself when it starts."""

import pytest

from modelcast.dashboard.runner import readable_by_all
from modelcast.infra.settings_dashboard import DashboardSettings


@pytest.mark.parametrize(
    ("host", "read_tokens", "warned"),
    [
        ("127.0.0.1", (), False),
        ("0.0.0.0", (), True),
        ("0.0.0.0", ("sha256:" + "0" * 64,), False),
    ],
)
def test_only_a_dashboard_that_asks_for_no_token_is_said_to_be_readable_by_all(
    host: str, read_tokens: tuple[str, ...], warned: bool
) -> None:
    assert readable_by_all(DashboardSettings(host=host, read_tokens=read_tokens)) is warned
