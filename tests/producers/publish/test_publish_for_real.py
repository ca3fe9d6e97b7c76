"""Publishing into the embedded S3 server and a real Kafka."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from modelcast.infra.kafka.admin import create_topics
from modelcast.infra.kafka.client import make_consumer, read_partition
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.settings import KafkaSettings, Settings, StoreSettings
from modelcast.infra.stores import open_store
from modelcast.producers import Commander, Publication, Publisher, Unannounced
from modelcast.schemas import keys
from modelcast.schemas.codec import DEFAULT
from modelcast.schemas.errors import ExitCode, StoreUnavailable
from modelcast.schemas.log.chain import StatedEntry
from modelcast.schemas.log.statements import read_stated
from modelcast.schemas.manifest import Manifest
from modelcast.schemas.ports import ObjectStore
from modelcast.schemas.records import ModelUpdate
from modelcast.schemas.topics import Topic, partition_of
from tests.support.servers.stores import S3ForTests


@pytest.fixture(
    params=[
        pytest.param("s3", marks=pytest.mark.integration),
        pytest.param("versitygw", marks=pytest.mark.real),
    ]
)
def settings(request: pytest.FixtureRequest, kafka: str, aws_env: Callable[[S3ForTests], None]) -> Settings:
    s3: S3ForTests = request.getfixturevalue(request.param)
    aws_env(s3)
    settings = Settings(
        kafka=KafkaSettings(bootstrap_servers=kafka, timeout_seconds=10),
        stores={"origin": StoreSettings(url=f"s3://{s3.bucket()}/models", endpoint_url=s3.endpoint_url)},
    )
    create_topics(settings)
    return settings


def origin(settings: Settings) -> ObjectStore:
    where = settings.store("origin")
    return open_store(where.url, endpoint_url=where.endpoint_url)


def announced(settings: Settings, model: str, registry_id: str) -> list[StatedEntry]:
    consumer = make_consumer(settings)
    try:
        messages = list(
            read_partition(consumer, settings, Topic.MODEL_UPDATES, partition_of(model), timeout_seconds=10)
        )
    finally:
        consumer.close()
    bodies = [m.value() or b"" for m in messages if m.key() == model.encode()]
    found = [read_stated(body, book=DEFAULT) for body in bodies]
    return [stated for stated in found if stated.entry.registry_id == registry_id]


def test_a_folder_arrives_whole_in_store_log_and_topic(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "model.onnx").write_bytes(b"graph" * 1000)
    (tmp_path / "sub" / "weights").write_bytes(bytes(3_000_000))
    with Publisher(settings) as publisher:
        first = publisher.publish("fraud", tmp_path, metrics={"auc": 0.9}, labels={"git": "abc"})
        again = publisher.publish("fraud", tmp_path)
        (tmp_path / "model.onnx").write_bytes(b"better" * 1000)
        second = publisher.publish("fraud", tmp_path)
    assert (first.version, first.generation, first.created, first.announced) == (1, 1, True, True)
    assert (again.version, again.generation, again.created, again.announced) == (1, 1, False, True)
    assert (second.version, second.generation, second.created) == (2, 2, True)
    assert first.uploaded_bytes == 3_005_000
    assert second.uploaded_bytes == 6_000

    store = origin(settings)
    log = RegistryReader(store).tail("fraud").log
    assert log.event_ids == (first.event_id, second.event_id)
    assert log.updates[1].metrics == {"auc": 0.9}
    assert [s.entry for s in announced(settings, "fraud", first.registry_id)] == [
        log.updates[1],
        log.updates[1],
        log.updates[2],
    ]
    update: ModelUpdate = log.updates[2]
    found = store.get(update.artifact.manifest_key, size_max=10**6)
    assert found is not None
    manifest = Manifest.decode(found.body, expected_digest=second.manifest_digest)
    assert [f.path for f in manifest.files] == ["model.onnx", "sub/weights"]
    for file in manifest.files:
        blob = store.get(keys.blob(file.digest), size_max=10**7)
        assert blob is not None
        assert blob.body == (tmp_path / file.path).read_bytes()
    assert list(store.list("publications/")) == []


def test_publishers_at_once_all_land_in_one_order_and_are_all_announced(settings: Settings, tmp_path: Path) -> None:
    done: list[Publication] = []
    gate = threading.Barrier(3)

    def publish(number: int) -> None:
        path = tmp_path / str(number)
        with Publisher(settings) as publisher:
            gate.wait()
            for turn in range(4):
                path.write_text(f"{number}-{turn}")
                done.append(publisher.publish("fraud", path))

    with ThreadPoolExecutor(3) as publishers:
        for result in [publishers.submit(publish, number) for number in range(3)]:
            result.result()  # raises what it raised
    tail = RegistryReader(origin(settings)).tail("fraud")
    log = tail.log
    assert sorted(p.version for p in done) == list(range(1, 13)) == sorted(log.updates)
    assert all(log.event_ids[p.generation - 1] == p.event_id for p in done)
    bodies = announced(settings, "fraud", done[0].registry_id)
    assert sorted(stated.body for stated in bodies) == sorted(timed.body for timed in tail.new.values())


def test_with_kafka_away_it_is_claimed_and_known_in_time(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "model").write_text("1")
    kafka = KafkaSettings(bootstrap_servers="127.0.0.1:1", timeout_seconds=2)
    began = time.monotonic()
    with Publisher(settings.model_copy(update={"kafka": kafka})) as publisher, pytest.raises(Unannounced) as caught:
        publisher.publish("fraud", tmp_path / "model")
    assert time.monotonic() - began < 30
    assert "127.0.0.1:1" in str(caught.value)
    assert caught.value.exit_code == ExitCode.UNANNOUNCED
    with Publisher(settings) as publisher:
        again = publisher.publish("fraud", tmp_path / "model")
    assert (again.version, again.created, again.announced) == (1, True, True)
    log = RegistryReader(origin(settings)).tail("fraud").log
    assert [s.entry for s in announced(settings, "fraud", again.registry_id)] == [log.updates[1]]


def test_with_the_store_away_nothing_is_announced(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "model").write_text("1")
    away = StoreSettings(url="s3://bucket", endpoint_url="http://127.0.0.1:1")
    began = time.monotonic()
    with (
        Publisher(settings.model_copy(update={"stores": {"origin": away}})) as publisher,
        pytest.raises(StoreUnavailable) as caught,
    ):
        publisher.publish("fraud", tmp_path / "model")
    assert time.monotonic() - began < 30
    assert caught.value.exit_code == ExitCode.UNREACHABLE


def test_a_command_follows_a_publication_on_the_topic(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "model").write_text("1")
    with Publisher(settings) as publisher, Commander(settings) as commander:
        published = publisher.publish("fraud", tmp_path / "model")
        said = commander.pin("fraud", 1, regions=["eu"], reason="because", requested_by="ann")
    log = RegistryReader(origin(settings)).tail("fraud").log
    assert [s.entry for s in announced(settings, "fraud", published.registry_id)] == [log.updates[1], said]
    assert log.view("eu").pinned_version == 1
