"""The exit code tells a script what happened; each code is earned for real."""

import pickle
from pathlib import Path

import pytest

from modelcast.infra.local.stack import LocalStack
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.settings import Settings
from modelcast.infra.stores.configured import origin_store
from modelcast.schemas import keys
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.topics import Topic, partition_of
from tests.support.processes.command_line import NOWHERE, CommandLine, pods_of, predicts
from tests.support.servers.topic_reader import TopicReader
from tests.support.waiting import until

pytestmark = pytest.mark.integration


def test_0_done_1_failed_and_2_usage(modelcast: CommandLine) -> None:
    modelcast("config", "show")
    modelcast("publish", "somebody", modelcast.model(1))
    assert "no such model" in modelcast("inspect", "nobody/1", code=1).err
    assert "bad model" in modelcast("publish", "Not-A-Name", modelcast.model(1), code=2).err
    assert "bad version" in modelcast("wait", "fraud/seven", code=2).err
    modelcast("get", "--no-such-option", code=2)
    assert "bad duration" in modelcast("wait", "fraud/1", "--timeout", "soon", code=2).err


@pytest.mark.soak
def test_3_a_version_that_does_not_come_in_time(modelcast: CommandLine) -> None:
    modelcast("publish", "late", modelcast.model(1), "--wait")
    late = modelcast("wait", "late/7", "--timeout", "2s", code=3)
    assert "late/7: not in 2 s" in late.err
    assert late.err.count("note: late/7 is not published yet, late/1 is the latest") == 1


def test_4_damaged_bytes_are_refused_and_what_served_keeps_serving(
    modelcast: CommandLine, stack: LocalStack, settings: Settings
) -> None:
    modelcast("publish", "damaged", modelcast.model(4.25), "--wait")
    modelcast("pause", "damaged", "--yes")
    folder = modelcast.model(4.75)  # numbers of this test's own: bytes that a region has are not fetched again
    modelcast("publish", "damaged", folder)
    good = (folder / "model.onnx").read_bytes()
    bad = bytearray(good)
    bad[len(bad) // 2] ^= 1
    origin_store(settings).put(keys.blob(sha256_of(good)), bytes(bad))
    modelcast("resume", "damaged", "--yes")
    refused = modelcast("wait", "damaged/2", "--timeout", "120s", code=4)
    assert "damaged/2" in refused.err
    assert {predicts(pod, "damaged") for pod in pods_of(stack.env)} == {(1, 4.25)}
    assert "REFUSED" in modelcast("get", "damaged").out

    origin_store(settings).put(keys.blob(sha256_of(good)), good)
    modelcast("release", "damaged/2", "--yes", "--reason", "mended")
    modelcast("wait", "damaged/2", "--timeout", "60s")
    assert {predicts(pod, "damaged") for pod in pods_of(stack.env)} == {(2, 4.75)}


@pytest.mark.soak
def test_4_also_where_a_refused_version_was_only_to_be_staged(
    modelcast: CommandLine, stack: LocalStack, settings: Settings
) -> None:
    modelcast("publish", "ahead", modelcast.model(5.25), "--wait")
    folder = modelcast.model(5.75)
    good = (folder / "model.onnx").read_bytes()
    bad = bytearray(good)
    bad[len(bad) // 2] ^= 1
    blob = keys.blob(sha256_of(good))
    origin_store(settings).put(blob, bytes(bad))  # what the store has is not sent again
    refused = modelcast("publish", "ahead", folder, "--activation", "staged", "--wait", "--timeout", "300s", code=4)
    assert "ahead/2" in refused.err
    assert "damaged" in refused.err
    modelcast("wait", "ahead/2", "--staged", "--timeout", "300s", code=4)
    assert "refuses 2" in modelcast("get", "ahead").out
    assert "refused: " in modelcast("describe", "ahead/2").out
    assert {predicts(pod, "ahead") for pod in pods_of(stack.env)} == {(1, 5.25)}

    origin_store(settings).put(blob, good)
    modelcast("release", "ahead/2", "--yes", "--reason", "mended")
    modelcast("wait", "ahead/2", "--staged", "--timeout", "300s")
    modelcast("quarantine", "ahead/2", "--yes", "--reason", "on second thoughts")
    modelcast("wait", "ahead/2", "--timeout", "300s", code=4)


def test_5_what_a_rule_forbids(modelcast: CommandLine, tmp_path: Path) -> None:
    modelcast("publish", "ruled", modelcast.model(1))
    assert "ruled/1" in modelcast("publish", "ruled", modelcast.model(2), "--version", "1", code=5).err
    (tmp_path / "model.pkl").write_bytes(pickle.dumps({"weights": [1, 2]}))
    assert "pickle" in modelcast("publish", "ruled", tmp_path / "model.pkl", code=5).err
    (tmp_path / "model.plan").write_bytes(b"\x00\xff" * 1_000)
    strict = {"MODELCAST_PUBLISH__ALLOW_UNKNOWN": "[]"}
    assert "--allow-unknown model.plan" in modelcast("publish", "ruled", tmp_path / "model.plan", code=5, **strict).err
    foreign = modelcast("publish", "ruled", modelcast.model(3), code=5, MODELCAST_PUBLISH__REGISTRY_ID="another")
    assert "registry" in foreign.err
    assert len(modelcast("history", "ruled", "-o", "json").json) == 1
    told = [(e["action"], e["subject"], e["result"]) for e in modelcast("audit", "ruled", "-o", "json").json]
    assert told == [("publish", "ruled", "refused")] * 4 + [("publish", "ruled/1", "done")]
    assert "refused" in modelcast("audit", "--since", "1h").out


def test_6_a_store_or_kafka_that_nobody_answers_for(modelcast: CommandLine) -> None:
    modelcast("publish", "known", modelcast.model(1), "--wait")
    launch_seconds = modelcast("--version").seconds
    away = modelcast(
        *("publish", "known", modelcast.model(2)), code=6, MODELCAST_STORES__ORIGIN__ENDPOINT_URL=f"http://{NOWHERE}"
    )
    assert away.seconds - launch_seconds < 30
    no_kafka = {"MODELCAST_KAFKA__BOOTSTRAP_SERVERS": NOWHERE, "MODELCAST_KAFKA__TIMEOUT_SECONDS": "1"}
    no_redis = {"MODELCAST_REDIS__URL": f"redis://{NOWHERE}/0"}
    modelcast("wait", "known/1", "--timeout", "20s", code=6, **no_kafka, **no_redis)
    assert "asking Redis instead" in modelcast("wait", "known/1", "--timeout", "20s", **no_kafka).err
    modelcast("get", "known", code=6, **no_kafka, **no_redis)
    modelcast("dead-letters", "list", code=6, **no_kafka)
    assert modelcast("get", "known", "-o", "json", **no_redis).json["source"] == "kafka"
    assert modelcast("get", "known", "-o", "json", **no_kafka).json["source"] == "redis"


@pytest.mark.soak
def test_7_claimed_while_kafka_is_away_and_announced_by_the_tracker(
    modelcast: CommandLine, stack: LocalStack, settings: Settings, topics: TopicReader
) -> None:
    modelcast("publish", "unheard", modelcast.model(1), "--wait")
    launch_seconds = modelcast("--version").seconds
    claimed = modelcast(
        *("publish", "unheard", modelcast.model(2)),
        code=7,
        MODELCAST_KAFKA__BOOTSTRAP_SERVERS=NOWHERE,
        MODELCAST_KAFKA__TIMEOUT_SECONDS="3",
    )
    assert claimed.seconds - launch_seconds < 30
    entry = RegistryReader(origin_store(settings)).entry("unheard", 2)
    assert entry is not None, "it is claimed"

    def announced() -> bool:
        return entry.body in topics.values(Topic.MODEL_UPDATES, partition_of("unheard"))

    until(announced, "the tracker announces it", 30)
    modelcast("wait", "unheard/2", "--timeout", "20s")
    assert {predicts(pod, "unheard") for pod in pods_of(stack.env)} == {(2, 2.0)}
