"""Pins, pauses and quarantines are told with who asked and why."""

from pathlib import Path

import pytest

from modelcast.cli.views.holds import holds
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.stores import MemoryStore
from modelcast.producers import Commander, Publisher
from modelcast.producers.planning.refusals import quarantine_line
from tests.producers.fakes import SETTINGS, Heard

REGIONS = ("eu", "us")


@pytest.fixture
def store(tmp_path: Path) -> MemoryStore:
    """Two versions of fraud."""
    store = MemoryStore()
    with Publisher(SETTINGS, store=store, announcer=Heard()) as publisher:
        for number in (1, 2):
            (tmp_path / "model").write_text(str(number))
            publisher.publish("fraud", tmp_path / "model")
    return store


@pytest.fixture
def commander(store: MemoryStore) -> Commander:
    return Commander(SETTINGS, store=store, announcer=Heard())


def told(store: MemoryStore) -> list[str]:
    tail = RegistryReader(store).tail("fraud")
    return holds(tail.log, tail.new, REGIONS)


def test_nothing_is_told_of_regions_that_follow_the_log(store: MemoryStore) -> None:
    assert told(store) == []


def test_a_pause_of_one_region_names_it_and_the_version_that_it_stays_at(
    store: MemoryStore, commander: Commander
) -> None:
    commander.pause("fraud", regions=["eu"], reason="drift", requested_by="ann")
    assert told(store) == ["eu: paused at version 2 by ann (drift)"]
    commander.resume("fraud", regions=["eu"])
    assert told(store) == []


def test_regions_that_are_held_alike_share_a_line(store: MemoryStore, commander: Commander) -> None:
    commander.pin("fraud", 1, requested_by="bob")
    assert told(store) == ["eu, us: pinned to version 1 by bob"]
    commander.pause("fraud", regions=["us"], requested_by="ann")
    assert told(store) == ["eu, us: pinned to version 1 by bob", "us: paused at version 1 by ann"]
    commander.unpin("fraud")
    assert told(store) == ["us: paused at version 1 by ann"]


def test_a_quarantine_names_who_asked_and_why(store: MemoryStore, commander: Commander) -> None:
    def told_of(version: int) -> str:
        tail = RegistryReader(store).tail("fraud")
        since = tail.log.quarantined.get(version)
        return quarantine_line(tail.log, tail.new[since].entry if since else None, version)

    commander.quarantine("fraud", 1, reason="drift", requested_by="ann")
    assert [told_of(1), told_of(2)] == ["quarantined by ann (drift)", ""]
    commander.release("fraud", 1)
    assert told_of(1) == ""
