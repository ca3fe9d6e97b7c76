"""What a publisher does where the registry is not what it was, over HTTP against a real S3 server."""

import json
from pathlib import Path

import pytest

from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.stores import open_store
from modelcast.producers import Publisher
from modelcast.producers.acceptance import Acceptor
from modelcast.producers.artifact import scan
from modelcast.producers.planning.request import PublishRequest
from modelcast.producers.publish.publisher import _reference
from modelcast.schemas import keys
from modelcast.schemas.errors import DecodeError, ExitCode, ForeignRegistry, Refused, RegistryIdLost, UsageError
from modelcast.schemas.log.registry_id import encode_registry_id
from modelcast.schemas.ports import ObjectStore
from modelcast.schemas.records import Activation, CommandKind, LogPosition
from tests.producers.fakes import SETTINGS, Heard
from tests.producers.published import exit_code, model
from tests.support.servers.stores import S3ForTests


@pytest.fixture
def store(s3: S3ForTests, aws_env) -> ObjectStore:  # type: ignore[no-untyped-def]
    aws_env(s3)
    return open_store(f"s3://{s3.bucket()}/models", endpoint_url=s3.endpoint_url)


def publisher(store: ObjectStore, heard: Heard | None = None) -> Publisher:
    return Publisher(SETTINGS, store=store, announcer=heard or Heard())


def intent_of(path: Path) -> str:
    asked = PublishRequest.asked(
        model="fraud", version=None, placement=(), activation=Activation.IMMEDIATE, metrics=None, labels=None,
        publisher="", allow_version_jump=False,
    )  # fmt: skip
    return asked.of(_reference(scan(path))).intent_key


# --- the registry's id --------------------------------------------------------------------------------------


def test_a_deleted_id_is_never_made_anew_where_logs_stand(store: ObjectStore, tmp_path: Path) -> None:
    first = publisher(store).publish("fraud", model(tmp_path, "1"))
    store.delete(keys.REGISTRY_ID)
    with pytest.raises(RegistryIdLost, match="restore-id") as caught:
        publisher(store).publish("fraud", model(tmp_path, "2"))
    assert "fraud" in str(caught.value)
    assert exit_code(caught) == ExitCode.REFUSED
    assert store.head(keys.REGISTRY_ID) is None
    with pytest.raises(ForeignRegistry):
        RegistryReader(store).registry_id()
    store.put(keys.REGISTRY_ID, encode_registry_id(first.registry_id))
    assert publisher(store).publish("fraud", model(tmp_path, "2")).version == 2


# --- intents ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("warm", [True, False])
def test_an_intent_that_names_the_event_of_another_version_is_refused(
    store: ObjectStore, tmp_path: Path, warm: bool
) -> None:
    heard = Heard()
    ours = publisher(store, heard)
    first = ours.publish("fraud", model(tmp_path, "1"))
    evil = model(tmp_path, "2")
    store.put(intent_of(evil), json.dumps({"event_id": first.event_id}).encode())
    who = ours if warm else publisher(store, heard)
    with pytest.raises(Refused, match="its intent names the event of generation 1, which is version 1") as caught:
        who.publish("fraud", evil)
    assert exit_code(caught) == ExitCode.REFUSED
    assert caught.value.subject == intent_of(evil)
    assert len(heard.said) == 1
    store.delete(intent_of(evil))
    assert who.publish("fraud", evil).version == 2


def test_an_intent_that_names_a_commands_event_is_refused(store: ObjectStore, tmp_path: Path) -> None:
    from modelcast.producers import Commander

    publisher(store).publish("fraud", model(tmp_path, "1"))
    said = Commander(SETTINGS, store=store, announcer=Heard()).pin("fraud", 1)
    assert said is not None
    path = model(tmp_path, "2")
    store.put(intent_of(path), json.dumps({"event_id": said.event_id}).encode())
    with pytest.raises(Refused, match="which is a command"):
        publisher(store).publish("fraud", path)


# --- the log ------------------------------------------------------------------------------------------------


def test_no_publisher_goes_on_from_a_log_with_a_damaged_entry(store: ObjectStore, tmp_path: Path) -> None:
    for content in ("1", "2", "3"):
        publisher(store).publish("fraud", model(tmp_path, content))
    key = keys.log_entry("fraud", 2)
    found = store.get(key, size_max=10**6)
    assert found is not None
    body = bytearray(found.body)
    body[-30] ^= 1
    store.put(key, bytes(body))
    with pytest.raises(DecodeError, match="damaged"):
        publisher(store).publish("fraud", model(tmp_path, "4"))
    assert store.head(keys.log_entry("fraud", 4)) is None


def test_a_publisher_that_knew_the_lost_entries_refuses_until_a_person_has_accepted(
    store: ObjectStore, tmp_path: Path
) -> None:
    ours = publisher(store)
    for content in ("1", "2", "3"):
        ours.publish("fraud", model(tmp_path, content))
    known = RegistryReader(store).tail("fraud").log
    lost = LogPosition(3, known.digest_at(3))
    store.delete(keys.log_entry("fraud", 3))
    store.delete(keys.log_entry("fraud", 2))
    publisher(store).publish("fraud", model(tmp_path, "other"))
    with pytest.raises(ForeignRegistry):
        ours.publish("fraud", model(tmp_path, "4"))
    heard = Heard()
    with Acceptor(SETTINGS, store=store, announcer=heard) as acceptor:
        with pytest.raises(UsageError, match="needs a reason"):
            acceptor.accept("fraud", [lost], reason=" ")
        written = acceptor.accept("fraud", [lost], reason="restored", requested_by="ann")
        assert [(c.generation, c.kind, c.replaces, c.requested_by) for c in written] == [
            (3, CommandKind.ACCEPT, (lost,), "ann"),
            (4, CommandKind.ACCEPT, (lost,), "ann"),
        ]
        assert heard.records == [written[-1]]
        with pytest.raises(Refused, match="nothing to accept"):
            acceptor.accept("fraud", [lost], reason="again")
    again = ours.publish("fraud", model(tmp_path, "4"))
    assert (again.version, again.generation) == (3, 5)
