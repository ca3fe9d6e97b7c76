"""A log entry that nobody can read hides nothing that stands below it."""

from pathlib import Path

import pytest

from modelcast.infra.stores import MemoryStore, configured
from modelcast.producers import Publisher
from modelcast.schemas import keys
from tests.cli.conftest import Cli
from tests.producers.fakes import SETTINGS, Heard


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """Two versions of fraud, and something else above them."""
    store = MemoryStore()
    with Publisher(SETTINGS, store=store, announcer=Heard()) as publisher:
        for number in (1, 2):
            (tmp_path / "model").write_text(str(number))
            publisher.publish("fraud", tmp_path / "model")
    store.put(keys.log_entry("fraud", 3), b"no entry")
    monkeypatch.setattr(configured, "origin_store", lambda settings: store)
    return store


def test_history_shows_what_can_be_read_and_fails(cli: Cli, store: MemoryStore) -> None:
    ended = cli("history", "fraud")
    assert "publish version 2" in ended.out
    assert "publish version 1" in ended.out
    assert keys.log_entry("fraud", 3) in ended.err
    assert ended.code == 1


def test_a_version_below_is_inspected_and_pulled_with_a_note(cli: Cli, store: MemoryStore, tmp_path: Path) -> None:
    ended = cli("inspect", "fraud/2")
    assert (ended.code, "fraud/2" in ended.out) == (0, True)
    assert "up to generation 2 only" in ended.err
    assert cli("pull", "fraud/1", tmp_path / "pulled").code == 0
    assert (tmp_path / "pulled" / "model").read_text() == "1"


def test_a_log_of_which_nothing_can_be_read_is_not_taken_for_no_model(cli: Cli, store: MemoryStore) -> None:
    store.put(keys.log_entry("odd", 1), b"no entry")
    for command in ("history", "inspect"):
        ended = cli(command, "odd")
        assert ended.code == 1
        assert keys.log_entry("odd", 1) in ended.err
