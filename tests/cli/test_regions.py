"""A region that the settings do not list is most likely misspelt."""

import pytest

from tests.cli.conftest import Cli

REGIONS = {"MODELCAST_REGIONS__eu__REPORT_SECONDS": "300", "MODELCAST_REGIONS__ap-south__REPORT_SECONDS": "300"}
COMMANDS = [
    ("publish", "fraud", "."),
    ("activate", "fraud/1"),
    ("rollback", "fraud", "--to", "1"),
    ("pin", "fraud/1"),
    *((verb, "fraud") for verb in ("unpin", "pause", "resume", "reload")),
]
NO_STORE = "store alias 'origin' is not set"
"""How far a command comes whose regions are taken."""


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c[0])
def test_a_misspelt_region_is_refused_with_the_one_that_was_meant(cli: Cli, command: tuple[str, ...]) -> None:
    ended = cli(*command, "--region", "ap-soth", **REGIONS)
    assert ended.code == 2
    assert "no region 'ap-soth' (known: ap-south, eu)" in ended.err
    assert "did you mean ap-south?" in ended.err


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c[0])
def test_a_region_that_only_others_know_is_taken_when_told_so_and_named(cli: Cli, command: tuple[str, ...]) -> None:
    ended = cli(*command, "--region", "mars", "--unknown-region-ok", **REGIONS)
    assert NO_STORE in ended.err
    assert "note: the settings list no region 'mars'" in ended.err


def test_two_letters_are_enough_for_a_suggestion(cli: Cli) -> None:
    assert "did you mean eu?" in cli("pause", "fraud", "--region", "ue", **REGIONS).err


def test_a_region_like_no_other_is_refused_without_a_suggestion(cli: Cli) -> None:
    ended = cli("pause", "fraud", "--region", "mars", **REGIONS)
    assert ended.code == 2
    assert "did you mean" not in ended.err
    assert "--unknown-region-ok" in ended.err


def test_known_regions_are_taken_without_a_word(cli: Cli) -> None:
    ended = cli("pause", "fraud", "--region", "eu", "-r", "ap-south", "-r", "eu", **REGIONS)
    assert ended.err.startswith("error store alias")


def test_settings_that_list_no_region_know_nothing_better(cli: Cli) -> None:
    ended = cli("pause", "fraud", "--region", "mars")
    assert ended.err.startswith("error store alias")


def test_a_malformed_region_is_refused_always(cli: Cli) -> None:
    assert "bad region name 'EU'" in cli("pause", "fraud", "--region", "EU", "--unknown-region-ok").err
