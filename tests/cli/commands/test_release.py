"""A release of what nothing refuses makes no entry, and says so; what a region refuses by itself is released."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from modelcast.cli.views.state_source import Sighting, StateSource
from modelcast.infra.stores import MemoryStore, configured
from modelcast.producers import Commander, Publisher, origin
from modelcast.schemas.errors import KafkaUnavailable
from modelcast.schemas.records import RegionState
from modelcast.schemas.states import STALE_SECONDS
from tests.cli.conftest import Cli
from tests.producers.fakes import SETTINGS, Heard
from tests.producers.planning.test_convergence import REFUSING, SERVING, state
from tests.producers.published import log_of

URL = {"MODELCAST_STORES__ORIGIN__URL": "s3://unused", "MODELCAST_KAFKA__TIMEOUT_SECONDS": "0.2"}
Tell = Callable[..., None]


class Listener(Heard):
    """In Kafka's place."""

    def __init__(self, settings: object) -> None:
        super().__init__()

    def warm(self, topic: str) -> bool:
        return True


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    store = MemoryStore()
    with Publisher(SETTINGS, store=store, announcer=Heard()) as publisher:
        for number in (1, 2):
            (tmp_path / "model").write_text(str(number))
            publisher.publish("fraud", tmp_path / "model")
    for module in (origin, configured):
        monkeypatch.setattr(module, "origin_store", lambda settings: store)
    monkeypatch.setattr(origin, "KafkaAnnouncer", Listener)
    return store


@pytest.fixture
def tell(monkeypatch: pytest.MonkeyPatch) -> Tell:
    """Have the tracker's last report be this, so many seconds ago."""

    def tell(row: RegionState | None, age_seconds: float = 1.0) -> None:
        def model(self: StateSource, name: str) -> Sighting | None:
            if row is None:
                raise KafkaUnavailable("away")
            return Sighting(replace(state(eu=row), model=name), age_seconds, "redis")

        monkeypatch.setattr(StateSource, "model", model)

    return tell


def test_a_release_of_what_nothing_refuses_makes_no_entry_and_says_so(cli: Cli, store: MemoryStore, tell: Tell) -> None:
    tell(replace(SERVING, served_version=2, aspired_version=2))
    ended = cli("release", "fraud/2", "--yes", **URL)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("fraud/2: nothing to release: it is not quarantined, and no region refuses it (as of")
    assert log_of(store).head == 2


@pytest.mark.parametrize(
    ("row", "age_seconds"),
    [
        (replace(REFUSING, aspired_version=2), 1.0),
        (replace(SERVING, served_version=1, refused_version=2), 1.0),
        (SERVING, STALE_SECONDS + 1),
        (None, 0.0),
    ],
    ids=["quarantined there", "refused there", "an old report", "no report"],
)
def test_what_a_region_may_refuse_by_itself_is_released(
    cli: Cli, store: MemoryStore, tell: Tell, row: RegionState | None, age_seconds: float
) -> None:
    tell(row, age_seconds)
    assert cli("release", "fraud/2", "--yes", **URL).code == 0
    assert log_of(store).head == 3


def test_what_a_person_has_quarantined_is_released(cli: Cli, store: MemoryStore, tell: Tell) -> None:
    Commander(SETTINGS, store=store, announcer=Heard()).quarantine("fraud", 2)
    tell(SERVING)
    assert cli("release", "fraud/2", "--yes", **URL).code == 0
    assert log_of(store).quarantined == {}


def test_a_version_that_does_not_exist_is_named(cli: Cli, store: MemoryStore, tell: Tell) -> None:
    tell(SERVING)
    ended = cli("release", "fraud/9", "--yes", **URL)
    assert ended.code == 1
    assert "fraud/9: no such version" in ended.err


@pytest.mark.parametrize("command", ["activate fraud@nope", "wait fraud@nope", "inspect fraud@nope", "pin fraud@nope"])
def test_an_unknown_alias_is_named_as_one_with_those_that_are_known(cli: Cli, store: MemoryStore, command: str) -> None:
    Commander(SETTINGS, store=store, announcer=Heard()).alias("fraud", "champion", 1)
    ended = cli(*command.split(), **URL)
    assert ended.code == 1
    assert "fraud@nope: no such alias" in ended.err
    assert "known: champion" in ended.err
