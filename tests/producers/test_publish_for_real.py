"""Publishing into the embedded S3 server and a real Kafka."""

from collections.abc import Callable
from pathlib import Path

import pytest

from modelcast.infra.kafka_admin import create_topics
from modelcast.infra.kafka_client import make_consumer, read_partition
from modelcast.infra.registry import RegistryReader
from modelcast.infra.settings import KafkaSettings, Settings, StoreSettings
from modelcast.infra.stores import open_store
from modelcast.producers import Publisher
from modelcast.schemas import keys
from modelcast.schemas.codec import decode, encode
from modelcast.schemas.manifest import Manifest
from modelcast.schemas.records import ModelUpdate
from modelcast.schemas.topics import Topic, partition_of
from tests.support.servers import S3ForTests

pytestmark = pytest.mark.integration


@pytest.fixture
def settings(kafka: str, s3: S3ForTests, aws_env: Callable[[S3ForTests], None]) -> Settings:
    aws_env(s3)
    settings = Settings(
        kafka=KafkaSettings(bootstrap_servers=kafka, timeout_seconds=10),
        stores={"origin": StoreSettings(url=f"s3://{s3.bucket()}/models", endpoint_url=s3.endpoint_url)},
    )
    create_topics(settings)
    return settings


def announced(settings: Settings, model: str, registry_id: str) -> list[bytes]:
    consumer = make_consumer(settings)
    try:
        messages = list(
            read_partition(consumer, settings, Topic.MODEL_UPDATES, partition_of(model), timeout_seconds=10)
        )
    finally:
        consumer.close()
    bodies = [m.value() or b"" for m in messages if m.key() == model.encode()]
    return [b for b in bodies if getattr(decode(b), "registry_id", "") == registry_id]


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

    store = open_store(settings.store("origin").url, endpoint_url=settings.store("origin").endpoint_url)
    log = RegistryReader(store).tail("fraud").log
    assert log.event_ids == (first.event_id, second.event_id)
    assert log.updates[1].metrics == {"auc": 0.9}
    assert announced(settings, "fraud", first.registry_id) == [
        encode(log.updates[1]),
        encode(log.updates[1]),
        encode(log.updates[2]),
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
