"""Control characters in what people wrote reach no terminal, whichever command shows it and in whichever format."""

from pathlib import Path

import pytest

from modelcast.infra.stores import MemoryStore, configured
from modelcast.producers import Commander, Publisher
from tests.cli.conftest import Cli
from tests.producers.fakes import SETTINGS, Heard

EVIL = "\x1b[2J\x1b]0;owned\x07\x9b31m\r\u202eend"
URL = {"MODELCAST_STORES__ORIGIN__URL": "s3://unused"}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    store = MemoryStore()
    (tmp_path / "model").write_text("1")
    with Publisher(SETTINGS, store=store, announcer=Heard()) as publisher:
        publisher.publish("fraud", tmp_path / "model", labels={"git": EVIL}, publisher=EVIL)
    with Commander(SETTINGS, store=store, announcer=Heard()) as commander:
        commander.pause("fraud", reason=EVIL, requested_by=EVIL)
    monkeypatch.setattr(configured, "origin_store", lambda settings: store)
    return store


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("output", ["table", "json", "yaml"])
@pytest.mark.parametrize("command", ["history fraud", "inspect fraud/1", "describe fraud/1"])
def test_nothing_that_a_terminal_obeys_is_shown(cli: Cli, command: str, output: str) -> None:
    nowhere = {"MODELCAST_REDIS__URL": "redis://127.0.0.1:9/0", "MODELCAST_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9"}
    ended = cli(*command.split(), "-o", output, **URL, **nowhere, MODELCAST_KAFKA__TIMEOUT_SECONDS="1")
    assert "owned" in ended.out, "it is shown at all"
    told = ended.out + ended.err
    assert not [c for c in told if (ord(c) < 32 and c not in "\n\t") or 0x7F <= ord(c) <= 0x9F or c == "\u202e"]


@pytest.mark.parametrize(
    "command", [f"get {EVIL}", f"publish fraud {EVIL}", f"activate fraud@{EVIL}", f"--config {EVIL} get"]
)
def test_nor_is_what_was_typed(cli: Cli, command: str) -> None:
    ended = cli(*command.split(" "), **URL)
    assert ended.code == 2
    assert not [c for c in ended.out + ended.err if (ord(c) < 32 and c not in "\n\t") or 0x7F <= ord(c) <= 0x9F]
