"""Views tell pins and pauses, and do not wait for a store that does not answer."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from modelcast.cli.views import hold_source
from modelcast.cli.views.hold_source import UNREAD, HoldSource
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.stores import MemoryStore
from modelcast.producers import Commander, Publisher
from modelcast.schemas.errors import StoreUnavailable
from modelcast.schemas.records import VersionState
from tests.producers.fakes import SETTINGS, Heard
from tests.producers.planning.test_convergence import SERVING, state


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """One version of fraud, paused."""
    store = MemoryStore()
    (tmp_path / "model").write_text("1")
    with Publisher(SETTINGS, store=store, announcer=Heard()) as publisher:
        publisher.publish("fraud", tmp_path / "model")
    Commander(SETTINGS, store=store, announcer=Heard()).pause("fraud", reason="drift", requested_by="ann")
    monkeypatch.setattr(hold_source, "origin_registry", lambda settings: RegistryReader(store))
    return store


def reported(head: int) -> VersionState:
    return replace(state(eu=SERVING), model="fraud", head_generation=head)


def test_the_log_is_read_again_when_it_has_grown(store: MemoryStore) -> None:
    source = HoldSource(SETTINGS, wait_seconds_max=60)
    assert source.lines(reported(2)) == ["eu: paused at version 1 by ann (drift)"]
    Commander(SETTINGS, store=store, announcer=Heard()).resume("fraud")
    assert source.lines(reported(2)) == ["eu: paused at version 1 by ann (drift)"]  # as the tracker is at 2
    assert source.lines(reported(3)) == []


def test_a_store_that_can_not_be_read_is_told(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(settings: object) -> RegistryReader:
        raise StoreUnavailable("away", subject="origin")

    source = HoldSource(SETTINGS, wait_seconds_max=60)
    monkeypatch.setattr(hold_source, "origin_registry", away)
    assert source.lines(reported(2)) == [UNREAD]
    said = replace(SERVING, region="eu", pinned_version=4, paused=True)  # the tracker's word needs no origin
    assert source.lines(replace(reported(2), regions=(said,))) == ["eu: pinned to 4, paused", UNREAD]
    monkeypatch.undo()
    monkeypatch.setattr(hold_source, "origin_registry", lambda settings: RegistryReader(store))
    assert source.lines(reported(2)) == ["eu: paused at version 1 by ann (drift)"]


def test_a_store_that_does_not_answer_is_asked_once_and_not_waited_for(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answer = threading.Semaphore(0), threading.Event()

    def slow(settings: object) -> RegistryReader:
        asked.release()
        answer.wait(60)
        return RegistryReader(store)

    monkeypatch.setattr(hold_source, "origin_registry", slow)
    source = HoldSource(SETTINGS, wait_seconds_max=0.05)
    assert source.lines(reported(2)) == [UNREAD]
    assert source.lines(reported(2)) == [UNREAD]
    assert asked.acquire(timeout=60)
    assert not asked.acquire(blocking=False)
    answer.set()
