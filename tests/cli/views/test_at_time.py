"""``history --at``: times as people type them, and the three answers."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from modelcast.agents.history.archive import PartitionArchive
from modelcast.cli.views import at_time
from modelcast.cli.views.at_time import time_of
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.settings import KafkaSettings, Settings
from modelcast.infra.stores import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.errors import UsageError
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.log.registry_id import encode_registry_id
from modelcast.schemas.records import VersionChange
from modelcast.schemas.topics import partition_of
from tests.agents.tracker.makers import update
from tests.cli.conftest import Cli
from tests.support.records.folding import stated

CET = timezone(timedelta(hours=1))
NOW = datetime(2026, 11, 30, 3, 52, 10, tzinfo=CET)
SECOND = 1_000_000
BEGIN_US = round(datetime(2026, 11, 30, 2, 0, tzinfo=UTC).timestamp()) * SECOND


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-30T02:41Z", datetime(2026, 11, 30, 2, 41, tzinfo=UTC)),
        ("2026-11-30T02:41:07+00:00", datetime(2026, 11, 30, 2, 41, 7, tzinfo=UTC)),
        ("2026-11-30 03:41", datetime(2026, 11, 30, 3, 41, tzinfo=CET)),
        ("3:41", datetime(2026, 11, 30, 3, 41, tzinfo=CET)),
        ("23:15:30", datetime(2026, 11, 29, 23, 15, 30, tzinfo=CET)),
        ("20m", NOW - timedelta(minutes=20)),
        ("1.5h ago", NOW - timedelta(minutes=90)),
    ],
)
def test_a_time_is_read_as_people_type_it(text: str, expected: datetime) -> None:
    assert time_of(text, NOW) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "25:00", "2026-13-01", "2027-01-01T00:00Z", "1e9d", "99999999d"])
def test_what_is_no_time_or_lies_ahead_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        time_of(text, NOW)
    assert "20m" in refused.value.hint


@pytest.fixture
def archived(origin: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """Version 1 served by eu from 02:00:00 on, 2 from 02:10:00 on, known by a report at 02:09:58; then silence. Kafka
    is away."""
    entry = update(1, 1, model="fraud")
    origin.put(keys.REGISTRY_ID, encode_registry_id(entry.registry_id))
    log = ModelLog("fraud", entry.registry_id)
    origin.put(keys.log_entry("fraud", 1), stated(log, entry).body)
    archive = PartitionArchive(origin, partition_of("fraud"), entry.registry_id, "topic")
    archive.begin(0, 4)
    for offset, (at, confirmed, status, version) in enumerate(
        ((-60, 0, "FAILED", None), (0, 0, "OK", 1), (600, 598, "OK", 2), (1200, 1190, "SILENT", 2))
    ):
        confirmed_us = BEGIN_US + confirmed * SECOND if confirmed else 0
        archive.take(
            offset,
            VersionChange(
                entry.registry_id,
                "fraud",
                "eu",
                status,
                BEGIN_US + at * SECOND,
                confirmed_us,
                version,
                "",
                version or 0,
                3 if version else 0,
                3,
            ),
        )
    archive.seal(BEGIN_US + 7200 * SECOND)
    archive.mark(BEGIN_US + 7200 * SECOND)
    monkeypatch.setattr(at_time, "origin_registry", lambda _: RegistryReader(origin))
    away = Settings(kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1", timeout_seconds=0.2))
    monkeypatch.setattr(at_time, "load", lambda: away)
    return origin


@pytest.mark.usefixtures("archived")
@pytest.mark.parametrize(
    ("at", "says"),
    [
        ("2026-11-30T01:59:30Z", ("no one version (0 of 3 pods serve the aspired version)",)),
        ("2026-11-30T02:05:00Z", ("CONFIRMED", " 1 ")),
        ("2026-11-30T02:09:59Z", ("BETWEEN", "1 or 2", "it changed between")),
        ("2026-11-30T02:30:00Z", ("UNKNOWN", "2, when last heard", "the region was silent from")),
        ("2026-11-30T01:30:00Z", ("UNKNOWN", "nothing was recorded before")),
    ],
)
def test_the_answer_says_how_well_it_is_known(cli: Cli, at: str, says: tuple[str, ...]) -> None:
    ended = cli("history", "fraud", "--at", at)
    assert ended.code == 0, ended.err
    assert all(each in ended.out for each in ("eu", *says)), ended.out


@pytest.mark.usefixtures("archived")
def test_programs_get_the_times_too(cli: Cli) -> None:
    ended = cli("history", "fraud", "--at", "2026-11-30T02:09:59Z", "--region", "eu", "-o", "json")
    assert f'"from_us": {BEGIN_US + 598 * SECOND}' in ended.out
    assert f'"until_us": {BEGIN_US + 600 * SECOND}' in ended.out


def test_a_model_of_which_nothing_is_archived_is_named_with_what_to_do(cli: Cli, archived: MemoryStore) -> None:
    entry = update(1, 1, model="other")
    archived.put(keys.log_entry("other", 1), stated(ModelLog("other", entry.registry_id), entry).body)
    ended = cli("history", "other", "--at", "2026-11-30T02:05:00Z")
    assert ended.code == 1
    assert "tracker.history" in ended.err


@pytest.mark.parametrize(
    "arguments", [("--at", "3:41", "--last", "3"), ("--region", "eu"), ("--at", "never"), ("--at", "3:41", "-r", "E U")]
)
def test_options_that_make_no_sense_are_usage_errors(cli: Cli, arguments: tuple[str, ...]) -> None:
    assert cli("history", "fraud", *arguments).code == 2
