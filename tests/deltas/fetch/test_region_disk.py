"""A region's disk and a publisher on a real S3 server: the second version of a large model crosses as a delta."""

import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from modelcast.agents.region.disk import Disk
from modelcast.consumers.fetch import ArtifactCache, FetchStatus, Link
from modelcast.deltas.fetch.accelerator import DeltaFetchAccelerator
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.settings import RegionSettings, Settings, StoreSettings
from modelcast.infra.stores.configured import origin_store, region_store
from modelcast.producers import Publisher
from modelcast.schemas import keys
from modelcast.schemas.records import ModelUpdate
from modelcast.schemas.region_memory import Held, Memory
from tests.deltas.fetch.offering import GivenThroughput
from tests.producers.fakes import Heard
from tests.support.processes.command_line import CommandLine
from tests.support.records.pairs import adam_step, bf16, safetensors_bytes, weights
from tests.support.servers.stores import S3ForTests

pytestmark = pytest.mark.integration

VALUES = 3_000_000
MODEL = "fraud"


@pytest.fixture
def settings(s3: S3ForTests, aws_env: Callable[[S3ForTests], None], tmp_path: Path) -> Settings:
    aws_env(s3)
    return Settings(
        stores={"origin": StoreSettings(url=f"s3://{s3.bucket()}", endpoint_url=s3.endpoint_url)},
        regions={
            "eu": RegionSettings(
                store=StoreSettings(url=f"s3://{s3.bucket()}", endpoint_url=s3.endpoint_url),
                cache_dir=tmp_path / "cache",
            )
        },
    )


@pytest.fixture
def publish(settings: Settings, tmp_path: Path) -> Callable[[int], ModelUpdate]:
    """Publishes the model as it is after so many training steps."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "tokenizer.json").write_text('{"a": 1}' * 50)
    states = {0: weights(VALUES, 3)}

    def publish(steps: int) -> ModelUpdate:
        for step in range(len(states), steps + 1):
            states[step] = adam_step(states[step - 1], 1e-5, step)
        (folder / "model.safetensors").write_bytes(safetensors_bytes({"w": ("BF16", bf16(states[steps]))}))
        with Publisher(settings, announcer=Heard()) as publisher:
            version = publisher.publish(MODEL, folder).version
        return RegistryReader(origin_store(settings)).tail(MODEL).log.updates[version]

    return publish


@pytest.fixture
def disk(settings: Settings) -> Disk:
    def versions(model: str) -> dict[int, str]:
        updates = RegistryReader(origin_store(settings)).tail(model).log.updates
        return {version: update.artifact.manifest_digest for version, update in updates.items()}

    cache = ArtifactCache(settings.regions["eu"].cache_dir or Path())
    return Disk(
        settings,
        region_store(settings, "eu"),
        cache,
        frozenset,
        versions,
        Link(throughput=GivenThroughput()),
        DeltaFetchAccelerator(),
    )


def silent(_: FetchStatus) -> None:
    """Nobody listens."""


def offered_bytes(settings: Settings, update: ModelUpdate) -> int:
    prefix = keys.delta_prefix(update.artifact.manifest_digest)
    return min(info.size_bytes for info in origin_store(settings).list(prefix))


def test_the_second_version_crosses_as_a_delta(
    settings: Settings, disk: Disk, publish: Callable[[int], ModelUpdate]
) -> None:
    first = publish(0)
    whole = disk.fetch(first, threading.Event(), silent)
    second, told = publish(1), list[FetchStatus]()
    transfer = disk.fetch(second, threading.Event(), told.append)
    assert disk.cache.manifest(second.artifact.manifest_digest).size_bytes == second.artifact.size_bytes
    assert transfer.bytes_moved == offered_bytes(settings, second) < second.artifact.size_bytes // 5
    assert whole.bytes_moved > first.artifact.size_bytes // 2
    assert transfer.bytes_planned == transfer.bytes_moved == second.artifact.size_bytes - transfer.bytes_saved
    assert transfer.way == "1 unchanged, 1 delta from 1"
    assert told[-1].way == transfer.way
    with disk.cache.open(second.artifact.manifest_digest):
        pass  # every file was hashed again


def test_a_version_in_between_is_met_by_a_chain_or_a_longer_delta(
    disk: Disk, publish: Callable[[int], ModelUpdate]
) -> None:
    disk.fetch(publish(0), threading.Event(), silent)
    publish(1)
    third = publish(2)
    transfer = disk.fetch(third, threading.Event(), silent)
    assert disk.cache.manifest(third.artifact.manifest_digest).size_bytes == third.artifact.size_bytes
    assert transfer.bytes_moved < third.artifact.size_bytes // 2
    assert transfer.way == "1 unchanged, 1 chain of 2 deltas from 1"


def test_an_empty_region_takes_what_stayed_the_same_from_what_was_compressed_before(
    settings: Settings, disk: Disk, publish: Callable[[int], ModelUpdate], tmp_path: Path
) -> None:
    other = safetensors_bytes({"w": ("BF16", bf16(weights(VALUES, 4)))})
    (tmp_path / "model" / "other.safetensors").write_bytes(other)
    first, second = publish(0), publish(1)
    compressed = {
        parsed[1]: info.size_bytes
        for update in (first, second)
        for info in origin_store(settings).list(keys.delta_prefix(update.artifact.manifest_digest))
        if (parsed := keys.parse_delta(info.key)) is not None and parsed[2] is None
    }
    transfer = disk.fetch(second, threading.Event(), silent)
    large = [f for f in disk.cache.manifest(second.artifact.manifest_digest).files if f.path.endswith(".safetensors")]
    assert transfer.way == "2 compressed wholes, 1 whole"
    small = second.artifact.size_bytes - sum(f.size_bytes for f in large)
    assert transfer.bytes_moved == sum(compressed[f.digest] for f in large) + small


def test_plan_explains_the_choice(
    settings: Settings, publish: Callable[[int], ModelUpdate], s3: S3ForTests, tmp_path: Path
) -> None:
    first, second = publish(0), publish(1)
    eu = settings.regions["eu"]
    assert eu.store
    env = {
        **s3.env,
        "MODELCAST_STORES__ORIGIN__URL": settings.stores["origin"].url,
        "MODELCAST_STORES__ORIGIN__ENDPOINT_URL": s3.endpoint_url,
        "MODELCAST_REGIONS__EU__STORE__URL": eu.store.url,
        "MODELCAST_REGIONS__EU__STORE__ENDPOINT_URL": s3.endpoint_url,
    }
    modelcast = CommandLine(env, tmp_path)

    supposed = modelcast("plan", "fraud/2", "--region", "eu", "--from", "1", "--link", "100Mbit", "-o", "json").json
    assert supposed["link_bytes_per_second"] == 12.5e6
    assert supposed["way"] == "1 unchanged, 1 delta from 1"
    assert supposed["bytes_planned"] == offered_bytes(settings, second)
    ways = next(f for f in supposed["files"] if f["path"] == "model.safetensors")["ways"]
    assert [way["chosen"] for way in ways] == [True] + [False] * (len(ways) - 1)
    assert {way["way"] for way in ways} >= {"delta", "whole"}
    assert all(way["why"] for way in ways)
    assert supposed["seconds_predicted"] < next(way["seconds"] for way in ways if way["way"] == "whole")

    nothing = modelcast("plan", "fraud/2", "--region", "eu", "--link", "100Mbit", "-o", "json").json
    assert nothing["holds"] == []
    left_out = [way for file in nothing["files"] for way in file["ways"] if way["seconds"] is None]
    assert any("its base of version 1 is not held" in way["why"] for way in left_out)

    held = Memory("id", MODEL, "eu", epoch=1, staged=Held.of(first, 1), served=Held.of(first, 1))
    region_store(settings, "eu").put(keys.region_state(MODEL), held.encode())
    known = modelcast("plan", "fraud/2", "--region", "eu", "--link", "1Gbit", "-o", "json").json
    assert known["holds"] == [{"version": 1, "why": "served"}]
    assert known["way"] == "1 unchanged, 1 delta from 1"

    told = modelcast("plan", "fraud/2", "--region", "eu", "--link", "1Gbit")
    assert "fraud/2: eu holds 1 (served), as it reported " in told.err
    there = modelcast("plan", "fraud/1", "--region", "eu", "-o", "json").json
    assert (there["holds_it"], there["way"], there["bytes_planned"]) == ("served", "here already", 0)
    assert known["left_out"] == ""
    with Publisher(settings, announcer=Heard()) as publisher:
        publisher.publish(MODEL, tmp_path / "model", placement=["us"], version=3)
    left = modelcast("plan", "fraud/3", "--region", "eu")
    assert "fraud/3 is placed in us only: eu will not fetch it" in left.err

    table = modelcast("plan", "fraud/2", "--region", "eu", "--from", "1", "--link", "100Mbit").out
    assert "→" in table
    assert "delta from 1" in table
    assert "= COST" in table
    assert re.search(r" ([0-9.]+) +([0-9.]+) +[0-9.]+ +costs least: \1 s \+ \2 s risk", table)
