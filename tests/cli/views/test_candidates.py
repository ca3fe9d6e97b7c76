"""What ``get MODEL`` tells of a candidate: from the log, and from what its controller reported."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from modelcast.cli.views import hold_source
from modelcast.cli.views.candidates import UNHEARD, candidate_lines
from modelcast.cli.views.hold_source import HoldSource
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.stores import MemoryStore
from modelcast.producers import Publisher, RolloutCommander, rollouts
from modelcast.schemas.errors import KafkaUnavailable
from modelcast.schemas.log.rollouts import LoggedRollout
from modelcast.schemas.records import Activation
from modelcast.schemas.traffic.grant import RolloutPhase
from modelcast.schemas.traffic.reports import RolloutRegion, RolloutState
from modelcast.schemas.traffic.steps_and_gates import CANARY
from tests.dashboard.makers import REGISTRY, row, state
from tests.producers.fakes import SETTINGS, Heard

ROWS = [row("eu"), row("us")]
LOGGED = LoggedRollout("3", 3, 4, RolloutPhase.RUNNING, 8, CANARY, "s", {}, {"": 1000, "us": 100})
REPORTED = RolloutState(
    REGISTRY, "fraud", "3", 4, "RUNNING", "canary", 8, 7, 1,
    regions=(RolloutRegion("eu", 0, 1000, 1000, True), RolloutRegion("us", 0, 100, 0, False, cut="errors 3 x")),
)  # fmt: skip


def test_a_candidate_is_told_with_its_share_in_each_region_and_where_it_was_cut_off() -> None:
    assert candidate_lines(LOGGED, ROWS, REPORTED, 2.0) == [
        "candidate 8: its canary rollout is running",
        "  eu: granted 10 %, read back 10 %",
        "  us: granted 1 %, read back 0 % by some pods; cut off: errors 3 x",
        "  reported 2.0 s ago",
    ]


@pytest.mark.parametrize("reported", [None, replace(REPORTED, rollout="1")])
def test_without_a_report_the_log_alone_is_told_and_that_no_controller_speaks(reported: RolloutState | None) -> None:
    lines = candidate_lines(replace(LOGGED, phase=RolloutPhase.HELD, reason="payday"), ROWS, reported, 2.0)
    assert lines == [
        "candidate 8: its canary rollout is held (payday)",
        "  eu: granted 10 %",
        "  us: granted 1 %",
        f"  {UNHEARD}",
    ]


def test_a_rollout_that_is_over_is_told_by_the_history() -> None:
    assert candidate_lines(replace(LOGGED, phase=RolloutPhase.PROMOTED), ROWS, REPORTED, 2.0) == []


@pytest.fixture
def commander(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RolloutCommander:
    """Version 1 is served, 2 is staged; the log that views read."""
    monkeypatch.setattr(rollouts, "_heartbeats", lambda settings: [])
    store = MemoryStore()
    with Publisher(SETTINGS, store=store, announcer=Heard()) as publisher:
        for number, activation in ((1, Activation.IMMEDIATE), (2, Activation.STAGED)):
            (tmp_path / "model").write_text(str(number))
            publisher.publish("fraud", tmp_path / "model", activation=activation)
    monkeypatch.setattr(hold_source, "origin_registry", lambda settings: RegistryReader(store))
    return RolloutCommander(SETTINGS, store=store, announcer=Heard())


def test_a_view_tells_it_as_long_as_it_is_under_way_also_while_kafka_is_away(
    commander: RolloutCommander, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> NoReturn:
        raise KafkaUnavailable("Kafka does not answer", subject="localhost:9092")

    answers: list[Callable[..., object]] = [away, lambda *_: (replace(REPORTED, rollout="3", candidate=2), 1.0)]
    monkeypatch.setattr(rollouts, "reported_rollout", lambda *a: answers[0](*a))
    source = HoldSource(SETTINGS, wait_seconds_max=60)
    shown = lambda head: source.lines(state("fraud", ROWS, head_generation=head))  # noqa: E731
    assert shown(2) == []
    commander.start("fraud", 2, CANARY)
    first = shown(3)
    assert first[0].startswith("candidate 2: its canary rollout is running")
    assert first[-1] == "  what its controller reports is not known: Kafka does not answer"
    answers.pop(0)
    assert "cut off: errors 3 x" in "\n".join(shown(3))  # the log has not grown
    commander.abort("fraud", reason="it harms")
    assert shown(4) == []
