"""A variable without effect is reported, with the one that was perhaps meant."""

import logging
import re
from pathlib import Path

import pytest

from modelcast.infra.settings import Settings
from modelcast.infra.telemetry import logs
from modelcast.infra.variables import FOR_TESTS, OTHERS, PREFIX, SECTIONS, unknown_variables
from modelcast.producers import Publisher

ROOT = Path(__file__).parents[2]
OF_DELTAS = PREFIX + "DELTA_"
"""The room ``deltas`` alone reads what begins so (``tests/deltas/test_whole_tree.py``)."""
MEANT = {
    "MODELCAST_KAFAK__BOOTSTRAP_SERVERS": "MODELCAST_KAFKA__BOOTSTRAP_SERVERS",
    "MODELCAST_KAFKA_TIMEOUT_SECONDS": "MODELCAST_KAFKA__TIMEOUT_SECONDS",
    "MODELCAST_REGION__EU__TOKEN": "MODELCAST_REGIONS__EU__TOKEN",
    "MODELCAST_REGION__EU__STORE__URL": "MODELCAST_REGIONS__EU__STORE__URL",
    "MODELCAST_STORE__ORIGIN__URL": "MODELCAST_STORES__ORIGIN__URL",
    "MODELCAST_CONFG": "MODELCAST_CONFIG",
    "modelcast_lgo__level": "MODELCAST_LOG__LEVEL",
}


@pytest.mark.parametrize(("typed", "meant"), MEANT.items())
def test_a_typo_names_what_was_perhaps_meant(typed: str, meant: str) -> None:
    assert unknown_variables({typed: "1"}) == [f"{typed} is no setting and is ignored: did you mean {meant}?"]


def test_what_resembles_nothing_is_told_all_the_same() -> None:
    assert unknown_variables({"MODELCAST_ZZZ": "1"}) == ["MODELCAST_ZZZ is no setting and is ignored"]


def test_what_is_read_is_not_told_of() -> None:
    known = ["PATH", "_MODELCAST_COMPLETE", "MODELCAST_KILL_ROUNDS", "MODELCAST_BENCH_OBSTORE", "MODELCAST_VERSITYGW"]
    known += ["MODELCAST_REDIS_SERVER", "MODELCAST_KAFKA__TIMEOUT_SECONDS", "modelcast_redis__url", *OTHERS]
    assert unknown_variables(dict.fromkeys(known, "1")) == []


def test_every_section_of_the_settings_is_known() -> None:
    assert set(SECTIONS) == set(Settings.model_fields)


def test_every_variable_that_the_code_names_is_known() -> None:
    sources = [path for room in (ROOT / "src" / "modelcast").iterdir() for path in room.resolve().rglob("*.py")]
    rooms = [path for path in sources if path.name != "variables.py"]
    tests = [path for path in ROOT.glob("tests/**/*.py") if path.parent.name != "cli" and path != Path(__file__)]
    pattern = re.compile(r"(?<![A-Z_])MODELCAST_[A-Z][A-Z_]*")
    named = {name for path in rooms + tests for name in pattern.findall(path.read_text())}
    assert len(named) > 20
    assert {n for n in named if unknown_variables({n: "1"})} == set()
    assert not [n for n in OTHERS if n not in named and not n.startswith(OF_DELTAS)]
    assert not [n for n in FOR_TESTS if not any(each.startswith(PREFIX + n) for each in named)]


def test_daemons_and_publishers_say_it_in_their_logs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MODELCAST_CONFG", "x")
    for say in (logs.warn_of_variables, Publisher.from_env):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            say()
        assert [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING] == [
            "MODELCAST_CONFG is no setting and is ignored: did you mean MODELCAST_CONFIG?"
        ]
