"""Who publishes again what is in the log already is told whether it will be served."""

from dataclasses import replace

import pytest

from modelcast.producers.planning.publication import Claim, entry_of
from modelcast.producers.planning.request import PublishRequest
from modelcast.producers.planning.standing import standing_notes, unserved_notes
from modelcast.schemas import keys
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.records import ALL_REGIONS, Activation, ArtifactRef, CommandKind, CommandTarget, ModelCommand


def request(content: str) -> PublishRequest:
    digest = "sha256:" + content * 64
    return PublishRequest("fraud", ArtifactRef("origin", keys.manifest(digest), digest, 1, 1, ""))


def published(log: ModelLog, asked: PublishRequest) -> ModelLog:
    claim = Claim(log.next_version, log.head + 1)
    return log.apply(entry_of(asked, claim, registry_id="r", event_id=f"e{log.head}", now_us=0))


def commanded(log: ModelLog, kind: CommandKind, version: int | None = None, region: str = ALL_REGIONS) -> ModelLog:
    target = CommandTarget(region, version)
    return log.apply(ModelCommand("r", f"e{log.head}", "fraud", log.head + 1, kind, (target,), 0, "ann"))


@pytest.fixture
def log() -> ModelLog:
    """Two versions."""
    return published(published(ModelLog("fraud", "r"), request("a")), request("b"))


def notes(log: ModelLog, asked: PublishRequest | None = None) -> tuple[str, ...]:
    return standing_notes(log, log.updates[2], asked or request("b"))


def test_of_what_is_to_be_served_there_is_nothing_to_say(log: ModelLog) -> None:
    assert notes(log) == ()


def test_what_was_rolled_back_is_named_with_what_serves_it_again(log: ModelLog) -> None:
    assert notes(commanded(log, CommandKind.ROLLBACK, 1)) == (
        "is not what regions are headed for (all: version 1): modelcast activate fraud/2",
    )
    assert notes(commanded(log, CommandKind.ROLLBACK, 1, "eu")) == (
        "is not what regions are headed for (eu: version 1): modelcast activate fraud/2",
    )


def test_a_pin_or_a_pause_has_to_end_first(log: ModelLog) -> None:
    (pinned,) = notes(commanded(log, CommandKind.PIN, 1))
    assert pinned.endswith("(all: version 1): modelcast unpin fraud")
    (paused,) = notes(commanded(commanded(log, CommandKind.ROLLBACK, 1), CommandKind.PAUSE))
    assert paused.endswith("modelcast resume fraud, then modelcast activate fraud/2")


@pytest.mark.parametrize(
    ("kinds", "remedy"),
    [
        ([CommandKind.PIN], "modelcast unpin fraud"),
        ([CommandKind.PAUSE], "modelcast resume fraud"),
        ([CommandKind.PAUSE, CommandKind.PIN], "modelcast unpin fraud, then modelcast resume fraud"),
    ],
)
def test_what_is_published_into_a_pin_or_a_pause_is_served_once_that_ends(
    log: ModelLog, kinds: list[CommandKind], remedy: str
) -> None:
    for kind in kinds:
        log = commanded(log, kind, 2)
    log = published(log, request("c"))
    assert unserved_notes(log, log.updates[3]) == (f"is not what regions are headed for (all: version 2): {remedy}",)
    for kind in kinds:
        log = commanded(log, CommandKind.UNPIN if kind is CommandKind.PIN else CommandKind.RESUME)
    assert log.aspired_version(ALL_REGIONS) == 3
    assert unserved_notes(log, log.updates[3]) == ()


def test_a_quarantine_has_to_be_released(log: ModelLog) -> None:
    (note,) = notes(commanded(log, CommandKind.QUARANTINE, 2))
    assert note == "is quarantined: no region serves it before modelcast release fraud/2"


def test_a_staged_version_waits_as_it_was_asked_to(log: ModelLog) -> None:
    staged = replace(request("c"), activation=Activation.STAGED)
    after = published(log, staged)
    assert standing_notes(after, after.updates[3], staged) == ()


def test_other_options_stay_as_they_were(log: ModelLog) -> None:
    assert notes(log, replace(request("b"), placement=("eu",), activation=Activation.STAGED)) == (
        "was published with activation immediate, which stays so",
        "was published for all regions, which stays so",
    )
