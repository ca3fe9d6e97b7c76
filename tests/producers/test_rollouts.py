"""What operators say about rollouts, on a store in memory."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from modelcast.infra.settings_publish import ModelSettings
from modelcast.infra.stores import MemoryStore
from modelcast.producers import Publisher, RolloutCommander, rollouts
from modelcast.schemas.errors import ExitCode, NotFound, Refused, UsageError
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.records import Activation, CommandKind, RegionHeartbeat
from modelcast.schemas.traffic.grant import RolloutPhase
from modelcast.schemas.traffic.readiness import SOFTWARE_KEY, too_old
from modelcast.schemas.traffic.reports import RolloutRegion, RolloutState
from modelcast.schemas.traffic.steps_and_gates import BLUE_GREEN, CANARY
from tests.producers.fakes import SETTINGS, Heard
from tests.producers.published import log_of


def beat(worker: str, **software: str) -> RegionHeartbeat:
    return RegionHeartbeat("registry", "eu", worker, 1, 1, 1, software=software)


@pytest.fixture
def alive() -> list[RegionHeartbeat]:
    """The fleet's heartbeats."""
    return [beat("a", **{SOFTWARE_KEY: "1"})]


@pytest.fixture
def commander(tmp_path: Path, alive: list[RegionHeartbeat], monkeypatch: pytest.MonkeyPatch) -> RolloutCommander:
    """Version 1 is served, 2 is staged."""
    monkeypatch.setattr(rollouts, "_heartbeats", lambda settings: alive)
    store = MemoryStore()
    with Publisher(SETTINGS, store=store, announcer=Heard()) as publisher:
        for number, activation in ((1, Activation.IMMEDIATE), (2, Activation.STAGED)):
            (tmp_path / "model").write_text(str(number))
            publisher.publish("fraud", tmp_path / "model", activation=activation)
    return RolloutCommander(SETTINGS, store=store, announcer=Heard())


def log(commander: RolloutCommander) -> ModelLog:
    return log_of(commander._connected().store)


def test_a_rollout_is_started_steered_and_promoted(commander: RolloutCommander) -> None:
    started = commander.start("fraud", 2, CANARY, reason="new features")
    assert started is not None
    assert (started.kind, started.rollout, started.generation) == (CommandKind.ROLLOUT_START, "3", 3)
    stepped = commander.skip("fraud", reason="quiet night")
    assert stepped is not None
    assert [(target.region, target.share) for target in stepped.targets] == [("", 100)]
    commander.hold("fraud", reason="payday")
    with pytest.raises(Refused, match="does not fit"):
        commander.hold("fraud", reason="payday")
    commander.go_on("fraud", reason="over")
    promoted = commander.promote("fraud", reason="seen enough")
    assert promoted is not None
    assert promoted.targets[0].version == 2
    folded = log(commander)
    assert folded.rollout is not None
    assert (folded.rollout.phase, folded.aspired_version("eu")) == (RolloutPhase.PROMOTED, 2)


def test_an_abort_ends_it_and_nothing_can_be_said_about_it_any_more(commander: RolloutCommander) -> None:
    commander.start("fraud", 2, CANARY)
    commander.abort("fraud", reason="wrong model")
    for say in (commander.abort, commander.promote, commander.skip, commander.go_on):
        with pytest.raises(Refused, match="no rollout is under way") as caught:
            say("fraud", reason="too late")
        assert caught.value.exit_code is ExitCode.REFUSED


@pytest.mark.parametrize("word", ["hold", "go_on", "abort", "promote", "skip"])
def test_every_word_needs_a_reason(commander: RolloutCommander, word: str) -> None:
    commander.start("fraud", 2, CANARY)
    with pytest.raises(UsageError, match="needs a reason"):
        getattr(commander, word)("fraud", reason=" ")


def test_what_is_served_already_or_not_there_is_no_candidate(commander: RolloutCommander) -> None:
    with pytest.raises(Refused, match="no region can take part"):
        commander.start("fraud", 1, CANARY)
    with pytest.raises(NotFound):
        commander.start("fraud", 9, CANARY)


def test_a_fleet_with_an_agent_that_does_not_understand_it_is_left_alone(
    commander: RolloutCommander, alive: list[RegionHeartbeat]
) -> None:
    alive.append(beat("old", modelcast="0.0.9"))
    with pytest.raises(Refused, match=r"eu old knows no rollouts \(0.0.9\)") as caught:
        commander.start("fraud", 2, CANARY)
    assert caught.value.exit_code is ExitCode.REFUSED
    assert log(commander).head == 2


@pytest.mark.parametrize(
    ("level", "fits"), [("1", True), ("2", True), ("0", False), ("", False), ("its pods hold one version", False)]
)
def test_a_worker_takes_part_by_what_its_heartbeat_says(level: str, fits: bool) -> None:
    assert (not too_old([beat("a", **{SOFTWARE_KEY: level})])) == fits


def test_a_dry_run_writes_nothing(commander: RolloutCommander) -> None:
    rehearsal = RolloutCommander(SETTINGS, store=commander._connected().store, announcer=Heard(), dry_run=True)
    assert rehearsal.start("fraud", 2, CANARY) is not None
    assert log(commander).head == 2


def test_where_versions_must_earn_their_traffic_none_is_served_past_its_rollout(
    commander: RolloutCommander, tmp_path: Path
) -> None:
    store = commander._connected().store
    strict = SETTINGS.model_copy(update={"models": {"fraud": ModelSettings(rollout_only=True)}})
    (tmp_path / "model").write_text("3")
    with Publisher(strict, store=store, announcer=Heard()) as publisher:
        with pytest.raises(Refused, match="earn their traffic"):
            publisher.publish("fraud", tmp_path / "model")
        publisher.publish("fraud", tmp_path / "model", activation=Activation.STAGED)
        (tmp_path / "model").write_text("first")
        assert publisher.publish("another", tmp_path / "model").version == 1, "only of that model"
    held = RolloutCommander(strict, store=store, announcer=Heard())
    for say in (held.activate, held.pin):
        with pytest.raises(Refused, match="earn their traffic"):
            say("fraud", 3)
    held.start("fraud", 3, CANARY)
    held.promote("fraud", reason="seen enough")
    assert held.rollback("fraud", to=1, reason="the way back is always open") is not None


def test_the_first_version_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    strict = SETTINGS.model_copy(update={"models": {"fraud": ModelSettings(rollout_only=True)}})
    (tmp_path / "model").write_text("1")
    with Publisher(strict, store=MemoryStore(), announcer=Heard()) as publisher:
        assert publisher.publish("fraud", tmp_path / "model").version == 1


def test_a_switch_needs_an_instant_ahead_and_every_pod_ready(
    commander: RolloutCommander, monkeypatch: pytest.MonkeyPatch
) -> None:
    commander.start("fraud", 2, BLUE_GREEN)
    at_us = round((time.time() + 60) * 1e6)
    region = RolloutRegion("eu", 0, 0, 0, True, pods_expected=2, candidate_ready=1)
    state = RolloutState("registry", "fraud", "3", 3, "RUNNING", "blue-green", 2, 1, 1, regions=(region,))
    with pytest.raises(UsageError, match="too soon"):
        commander.switch("fraud", at_us=at_us - 59_000_000, reason="now")
    for said, age_seconds, why in (
        (None, 0.0, "no controller has reported"),
        (state, 120.0, "no controller has reported"),
        (state, 1.0, "eu: 1 of 2 pods"),
    ):
        monkeypatch.setattr(rollouts, "reported_rollout", lambda *_, said=said, age=age_seconds: (said, age))
        with pytest.raises(Refused, match=why):
            commander.switch("fraud", at_us=at_us, reason="now")
    ready = replace(state, regions=(replace(region, candidate_ready=2),))
    monkeypatch.setattr(rollouts, "reported_rollout", lambda *_: (ready, 1.0))
    entry = commander.switch("fraud", at_us=at_us, reason="before the market opens")
    assert entry is not None
    assert (entry.kind, entry.not_before_us, entry.targets[0].share) == (CommandKind.ROLLOUT_STEP, at_us, 10_000)
