"""``modelcast dead-letters`` on a real broker."""

import os
import pty
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from modelcast.infra.kafka import admin as kafka_admin
from modelcast.infra.kafka import dead_letters
from modelcast.infra.kafka.announcer import KafkaAnnouncer
from modelcast.infra.local.layout import inherited_env
from modelcast.infra.settings import KafkaSettings, Settings
from modelcast.schemas.topics import Topic
from tests.support.processes.command_line import CommandLine

pytestmark = pytest.mark.integration


@pytest.fixture(scope="session")
def settings(kafka: str) -> Settings:
    settings = Settings(kafka=KafkaSettings(bootstrap_servers=kafka, timeout_seconds=60))
    kafka_admin.create_topics(settings)
    return settings


@pytest.fixture
def modelcast(settings: Settings, tmp_path: Path) -> CommandLine:
    env = {
        "MODELCAST_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "MODELCAST_KAFKA__TIMEOUT_SECONDS": "60",
        "MODELCAST_PUBLISH__PUBLISHER": "ann@desk",
    }
    return CommandLine(env, tmp_path)


@pytest.fixture
def offset(settings: Settings) -> str:
    """The place of a fresh letter."""
    letter = dead_letters.dead_letter(
        uuid.uuid4().bytes, reason="malformed", detail="why", reported_by="test", topic=Topic.MODEL_ACKS, key=b"fraud"
    )
    with KafkaAnnouncer(settings) as announcer:
        dead_letters.send(announcer, letter, timeout_seconds=60)
    return str(next(s.offset for s in reversed(dead_letters.read(settings)) if s.letter == letter))


def test_a_replay_says_what_it_did_and_stands_in_list_and_show(modelcast: CommandLine, offset: str) -> None:
    replayed = modelcast("dead-letters", "replay", offset, "--reason", "reader mended", "-o", "json").json
    assert replayed == {
        "offset": int(offset), "topic": "model-acks", "by": "ann@desk", "reason": "reader mended", "dry_run": False,
    }  # fmt: skip
    shown = modelcast("dead-letters", "show", offset).out
    assert "by ann@desk: reader mended" in shown
    (row,) = [line for line in modelcast("dead-letters", "list").out.splitlines() if line.split()[0] == offset]
    assert "ago by ann@desk" in row
    assert "it was replayed before" in modelcast("dead-letters", "replay", offset).err


def test_a_dry_run_sends_and_notes_nothing(modelcast: CommandLine, offset: str) -> None:
    assert "would send 16 B to model-acks" in modelcast("dead-letters", "replay", offset, "--dry-run").out
    assert modelcast("dead-letters", "show", offset, "-o", "json").json["replays"] == []


@pytest.mark.soak
def test_on_a_terminal_it_asks_first_and_no_means_no(modelcast: CommandLine, offset: str) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "wb", buffering=0) as person:
        child = subprocess.Popen(
            [sys.executable, "-m", "modelcast.cli.main", "dead-letters", "replay", offset],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=modelcast.folder,
            env={**inherited_env(), **modelcast.env},
        )
        os.close(theirs)
        said = b""
        while b"again?" not in said:
            said += os.read(ours, 4096)
        person.write(b"n\n")
        assert child.wait(120) == 1
    assert modelcast("dead-letters", "show", offset, "-o", "json").json["replays"] == []


def test_a_place_without_a_letter_is_named(modelcast: CommandLine) -> None:
    told = modelcast("dead-letters", "replay", "1000000", code=1).err
    assert "dead-letters@1000000: no such dead letter" in told
    assert "modelcast dead-letters list" in told
