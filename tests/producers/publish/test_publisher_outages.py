"""Publishing while Kafka or the store is away, and running it again."""

import time
from pathlib import Path

import pytest

from modelcast.infra.stores import MemoryStore
from modelcast.producers import Publisher, Unannounced
from modelcast.schemas import keys
from modelcast.schemas.errors import (
    DecodeError,
    ExitCode,
    Refused,
    StoreUnavailable,
)
from tests.producers.fakes import SETTINGS, Heard, HookedStore
from tests.producers.published import exit_code, log_of, model


def test_without_kafka_it_is_claimed_but_unannounced_and_a_rerun_announces_the_same(
    publisher: Publisher, store: MemoryStore, heard: Heard, tmp_path: Path
) -> None:
    heard.away = True
    with pytest.raises(Unannounced) as caught:
        publisher.publish("fraud", model(tmp_path, "1"))
    assert exit_code(caught) == ExitCode.UNANNOUNCED
    claimed = caught.value.publication
    assert claimed is not None
    assert (claimed.version, claimed.announced) == (1, False)
    assert log_of(store).head == 1
    heard.away = False
    # Meanwhile somebody else publishes a newer one, and the rerun happens on another machine.
    Publisher(SETTINGS, store=store, announcer=heard).publish("fraud", model(tmp_path, "newer"))
    again = Publisher(SETTINGS, store=store, announcer=heard).publish("fraud", model(tmp_path, "1"))
    assert (again.version, again.event_id, again.created, again.announced) == (1, claimed.event_id, True, True)
    assert log_of(store).head == 2
    assert heard.records[-1] == log_of(store).updates[1]


def test_a_store_that_answers_no_claim_keeps_the_intent_so_that_a_rerun_makes_no_second_entry(
    store: MemoryStore, heard: Heard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose_answer(call: str, key: str) -> None:
        if call == "put" and "/log/" in key:
            raise StoreUnavailable("timed out")

    def lose_read(call: str, key: str) -> None:
        if call == "get" and "/log/" in key and store.head(key):
            raise StoreUnavailable("timed out")

    monkeypatch.setattr("modelcast.infra.registry.claim.DEADLINE_SECONDS", 0.2)
    monkeypatch.setattr("modelcast.infra.registry.claim.claim.__kwdefaults__", {"deadline_seconds": 0.2})
    hooked = HookedStore(store, before=lose_read, after=lose_answer)
    with pytest.raises(StoreUnavailable, match="run the same command again") as caught:
        Publisher(SETTINGS, store=hooked, announcer=heard).publish("fraud", model(tmp_path, "1"))
    assert exit_code(caught) == ExitCode.UNREACHABLE
    event_id = log_of(store).event_ids[0]
    Publisher(SETTINGS, store=store, announcer=heard).publish("fraud", model(tmp_path, "newer"))
    again = Publisher(SETTINGS, store=store, announcer=heard).publish("fraud", model(tmp_path, "1"))
    assert (again.event_id, again.generation) == (event_id, 1)
    assert log_of(store).head == 2


def test_an_earlier_runs_intent_outlives_a_log_that_cannot_be_read(
    publisher: Publisher, store: MemoryStore, heard: Heard, tmp_path: Path
) -> None:
    rerun = Publisher(SETTINGS, store=store, announcer=Heard())
    rerun.publish("fraud", model(tmp_path, "1"))
    publisher.publish("fraud", model(tmp_path, "2"))
    heard.away = True
    with pytest.raises(Unannounced):
        publisher.publish("fraud", model(tmp_path, "3"))
    store.put(keys.log_entry("fraud", 4), b"rubbish")
    with pytest.raises(DecodeError):
        rerun.publish("fraud", model(tmp_path, "3"))
    store.delete(keys.log_entry("fraud", 4))
    Publisher(SETTINGS, store=store, announcer=Heard()).publish("fraud", model(tmp_path, "4"))
    again = rerun.publish("fraud", model(tmp_path, "3"))
    assert (again.version, again.created) == (3, True)
    assert log_of(store).head == 4


def test_an_unreachable_store_is_known_at_once(heard: Heard, tmp_path: Path) -> None:
    def away(_call: str, _key: str) -> None:
        raise StoreUnavailable("store unreachable")

    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        Publisher(SETTINGS, store=HookedStore(MemoryStore(), before=away), announcer=heard).publish(
            "fraud", model(tmp_path, "1")
        )
    assert time.monotonic() - began < 5
    assert heard.said == []


def test_rubbish_in_place_of_an_intent_is_named(publisher: Publisher, store: MemoryStore, tmp_path: Path) -> None:
    keys_put: list[str] = []
    hooked = HookedStore(store, before=lambda call, key: keys_put.append(key) if call == "put" else None)
    Publisher(SETTINGS, store=hooked, announcer=Heard()).publish("fraud", model(tmp_path, "1"))
    intent = next(key for key in keys_put if key.startswith("publications/"))
    store.put(intent, b"rubbish")
    with pytest.raises(Refused, match="publications/fraud"):
        publisher.publish("fraud", model(tmp_path, "1"))
