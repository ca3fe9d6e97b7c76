"""``modelcast plan``: its options. What it answers is tested beside the region's disk, on a real store."""

import pytest

from modelcast.cli.plan import rate_of
from tests.cli.conftest import Cli


@pytest.mark.parametrize(
    ("text", "bytes_per_second"),
    [
        ("100Mbit", 12.5e6),
        ("1 Gbit/s", 125e6),
        ("100Mbps", 12.5e6),
        ("8Mb", 1e6),
        ("8kBps", 8e3),
        ("12.5MB", 12.5e6),
        ("12MB/s", 12e6),
        ("800", 800),
    ],
)
def test_link_speeds_are_read_as_people_write_them(text: str, bytes_per_second: float) -> None:
    assert rate_of(text) == bytes_per_second


@pytest.mark.parametrize("link", ["fast", "0Mbit", "-5", "", "1e9"])
def test_a_link_speed_that_is_none_is_refused(link: str, cli: Cli) -> None:
    ended = cli("plan", "fraud/2", "--region", "eu", f"--link={link}")
    assert ended.code == 2
    assert "bad link speed" in ended.err
    assert "100Mbit" in ended.err


def test_a_region_that_is_not_set_is_named(cli: Cli) -> None:
    ended = cli("plan", "fraud/2", "--region", "nowhere", MODELCAST_STORES__ORIGIN__URL="s3://unused")
    assert ended.code != 0
    assert "nowhere" in ended.err


def test_the_region_must_be_said(cli: Cli) -> None:
    assert cli("plan", "fraud/2").code == 2
